/** The command line. */
module dev.rhumb.app {
  requires dev.rhumb.engine;
  requires info.picocli;
}
