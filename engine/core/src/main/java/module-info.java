/**
 * Training, sparse autoencoders, interpretation, steering and serving. No third-party dependency.
 */
module dev.rhumb.engine {
  requires transitive dev.rhumb.kernels;
  requires static jdk.jfr;
  // Only to see what a warm-up allocates; it goes by time alone where the module is not there.
  requires static jdk.management;

  exports dev.rhumb.checkpoint;
  exports dev.rhumb.data;
  exports dev.rhumb.eval;
  exports dev.rhumb.interpret;
  exports dev.rhumb.model;
  exports dev.rhumb.sae;
  exports dev.rhumb.steer;
  exports dev.rhumb.serve;
  exports dev.rhumb.train;
}
