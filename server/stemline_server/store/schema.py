"""The tables of `jobs.sqlite`.

A column that an older file lacks is added when the file is opened, so it needs a default.
"""

SCHEMA = """
CREATE TABLE IF NOT EXISTS media (
    name TEXT PRIMARY KEY,
    sample_rate INTEGER NOT NULL,
    channels INTEGER NOT NULL,
    length_samples INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,      -- 0: not in the store, only reachable by references
    create_us INTEGER NOT NULL,
    used_us INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS media_by_use ON media (used_us) WHERE stored_bytes > 0;

CREATE TABLE IF NOT EXISTS media_references (
    path TEXT NOT NULL,
    stream INTEGER NOT NULL,
    channels TEXT NOT NULL,
    mono INTEGER NOT NULL,
    start_sample INTEGER NOT NULL,
    end_sample INTEGER NOT NULL,
    identity TEXT NOT NULL,             -- of the file when it was hashed
    media TEXT NOT NULL,
    PRIMARY KEY (path, stream, channels, mono, start_sample, end_sample)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS references_by_media ON media_references (media);

CREATE TABLE IF NOT EXISTS grants (     -- sound that a seat or a project brought, or that its jobs made
    media TEXT NOT NULL,
    holder TEXT NOT NULL,
    PRIMARY KEY (media, holder)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS grants_by_holder ON grants (holder);

CREATE TABLE IF NOT EXISTS shares (     -- what each seat has used, as start-time fair queueing counts it
    seat TEXT PRIMARY KEY,              -- '' holds the start of the last job
    virtual_s REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    request_id TEXT NOT NULL UNIQUE,
    batch_id TEXT NOT NULL,
    priority INTEGER NOT NULL,
    spec BLOB NOT NULL,
    key TEXT NOT NULL,
    group_key TEXT NOT NULL,
    model TEXT NOT NULL,
    revision TEXT NOT NULL,
    state INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 1,
    owner TEXT NOT NULL DEFAULT '',     -- the server process that holds the lease
    lost_leases INTEGER NOT NULL DEFAULT 0, -- by crashes of the server
    kills INTEGER NOT NULL DEFAULT 0,   -- leases lost by kills from outside
    claim TEXT NOT NULL DEFAULT '',     -- the group it last ran in: its scratch folder may hold work done
    solo INTEGER NOT NULL DEFAULT 0,    -- runs alone, because the group it was in failed
    error BLOB,
    stem BLOB,
    engine_s REAL NOT NULL DEFAULT 0,
    create_us INTEGER NOT NULL,
    start_us INTEGER,
    end_us INTEGER,
    kind INTEGER NOT NULL DEFAULT 1,    -- JobKind of the wire
    owned_by TEXT NOT NULL DEFAULT 'local', -- the seat that created it
    project TEXT NOT NULL DEFAULT '',   -- whose seats share it
    rank INTEGER NOT NULL DEFAULT 0,    -- its priority over jobs of other seats
    audio_s REAL NOT NULL DEFAULT 0,
    share_s REAL NOT NULL DEFAULT 0     -- audio_s by the weight of the seat
);
CREATE INDEX IF NOT EXISTS jobs_by_turn ON jobs (state, priority DESC, id);
CREATE INDEX IF NOT EXISTS jobs_by_seat ON jobs (state, owned_by, priority DESC, id);
CREATE INDEX IF NOT EXISTS jobs_by_batch ON jobs (batch_id, id);
CREATE INDEX IF NOT EXISTS jobs_by_key ON jobs (key, state);
CREATE INDEX IF NOT EXISTS jobs_by_group ON jobs (group_key, state);
CREATE INDEX IF NOT EXISTS jobs_by_sequence ON jobs (sequence);

CREATE TABLE IF NOT EXISTS pins (       -- media that a job which has not ended needs
    media TEXT NOT NULL,
    job INTEGER NOT NULL REFERENCES jobs (id),
    PRIMARY KEY (media, job)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pins_by_job ON pins (job);

CREATE TABLE IF NOT EXISTS results (
    key TEXT PRIMARY KEY,
    media TEXT NOT NULL,
    stem BLOB NOT NULL,
    engine_s REAL NOT NULL,
    revision TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS results_by_media ON results (media);

CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO counters VALUES ('sequence', 0);
"""
