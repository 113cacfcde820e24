-- Made once, when the container of the database is first started: the extension, and roles with the least rights.
--   alphec_owner  owns the tables and migrates them: `trade db upgrade`, backups, rebuilding from the journal
--   alphec_app    trades and loads bars; adds to audit events, orders' events, fills, and cannot change them
--   alphec_read   reads, for people and dashboards
-- The rights on each table are granted by the migrations (data/schema/grants.py).
\set ON_ERROR_STOP on
\getenv owner_password ALPHEC_OWNER_PASSWORD
\getenv app_password ALPHEC_APP_PASSWORD
\getenv read_password ALPHEC_READ_PASSWORD

CREATE EXTENSION IF NOT EXISTS timescaledb;

CREATE ROLE alphec_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE alphec_app LOGIN PASSWORD :'app_password';
CREATE ROLE alphec_read LOGIN PASSWORD :'read_password';

REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"DBNAME" TO alphec_owner, alphec_app;
GRANT CONNECT ON DATABASE :"DBNAME" TO alphec_read;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO alphec_owner;
