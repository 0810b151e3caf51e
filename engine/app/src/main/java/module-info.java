/** The command line, the import of interaction logs and the report. */
module dev.rhumb.app {
  requires dev.rhumb.engine;
  requires duckdb.jdbc;
  requires info.picocli;
  requires java.management;
  requires java.net.http;
  requires java.sql;
  requires jdk.management;

  opens dev.rhumb.app to
      info.picocli;
}
