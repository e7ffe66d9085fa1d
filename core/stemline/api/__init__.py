"""The modules behind `import stemline`. Import their names from `stemline`; the modules themselves may move."""
