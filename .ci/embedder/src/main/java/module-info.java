/** Removed where the service is built for the class path. */
module service {
  requires dev.rhumb.engine;
}
