"""Generated messages and stubs of the gRPC API `stemline.v1`."""
