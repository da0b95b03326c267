"""The tables of the station's index. A file that an earlier version made gets what it lacks as it is opened."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS segment (
    camera TEXT NOT NULL, name TEXT NOT NULL, epoch INTEGER NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
    recording TEXT, seq INTEGER NOT NULL, first INTEGER NOT NULL, entries INTEGER NOT NULL, parts INTEGER NOT NULL,
    media_ns INTEGER NOT NULL, begins TEXT, ends TEXT, vouched INTEGER NOT NULL, started INTEGER NOT NULL,
    ended INTEGER NOT NULL, stored_s INTEGER NOT NULL, until_s INTEGER NOT NULL, purged_s INTEGER,
    opened INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (camera, name)
) STRICT;
CREATE INDEX IF NOT EXISTS segment_recording ON segment (recording);
CREATE INDEX IF NOT EXISTS segment_end ON segment (epoch, camera, first + entries);
CREATE TABLE IF NOT EXISTS announced (
    camera TEXT NOT NULL, name TEXT NOT NULL, epoch INTEGER NOT NULL, size INTEGER NOT NULL, first INTEGER NOT NULL,
    entries INTEGER NOT NULL, PRIMARY KEY (camera, name)
) STRICT;
CREATE TABLE IF NOT EXISTS place (
    camera TEXT NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL, place TEXT NOT NULL,
    PRIMARY KEY (camera, name, sha256)
) STRICT;
CREATE TABLE IF NOT EXISTS timeline (
    camera TEXT NOT NULL, name TEXT NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
    PRIMARY KEY (camera, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept_held (
    camera TEXT NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL, epoch INTEGER NOT NULL, first INTEGER NOT NULL,
    end INTEGER NOT NULL, broken INTEGER NOT NULL, asked INTEGER, PRIMARY KEY (camera, name, sha256)
) STRICT;
CREATE INDEX IF NOT EXISTS kept_held_epoch ON kept_held (camera, epoch);
CREATE TABLE IF NOT EXISTS lost (
    camera TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (camera, name)
) STRICT;
CREATE TABLE IF NOT EXISTS unexplained (
    camera TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (camera, name)
) STRICT;
CREATE TABLE IF NOT EXISTS change (
    camera TEXT NOT NULL PRIMARY KEY, number INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS counted (
    camera TEXT NOT NULL PRIMARY KEY, what TEXT NOT NULL, told TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS mark (
    camera TEXT NOT NULL, recording TEXT NOT NULL, epoch INTEGER NOT NULL, leaf INTEGER NOT NULL, at TEXT,
    text TEXT NOT NULL, tag TEXT, PRIMARY KEY (camera, epoch, leaf)
) STRICT;
CREATE INDEX IF NOT EXISTS mark_recording ON mark (camera, recording, leaf);
CREATE TABLE IF NOT EXISTS worn (
    camera TEXT NOT NULL, epoch INTEGER NOT NULL, leaf INTEGER NOT NULL, officer TEXT, unit TEXT, shift TEXT,
    PRIMARY KEY (camera, epoch, leaf)
) STRICT;
CREATE TABLE IF NOT EXISTS late (
    camera TEXT NOT NULL, epoch INTEGER NOT NULL, leaf INTEGER NOT NULL, boot TEXT NOT NULL, mono_ns INTEGER NOT NULL,
    PRIMARY KEY (camera, epoch, leaf)
) STRICT;
CREATE INDEX IF NOT EXISTS late_moment ON late (camera, boot, mono_ns, epoch, leaf);
CREATE TABLE IF NOT EXISTS dropped (
    camera TEXT NOT NULL, epoch INTEGER NOT NULL, leaf INTEGER NOT NULL, PRIMARY KEY (camera, epoch, leaf)
) STRICT;
CREATE TABLE IF NOT EXISTS begun (
    camera TEXT NOT NULL, epoch INTEGER NOT NULL, leaf INTEGER NOT NULL, boot TEXT NOT NULL, mono_ns INTEGER NOT NULL,
    PRIMARY KEY (camera, epoch, leaf)
) STRICT;
"""
