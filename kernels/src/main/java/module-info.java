/**
 * Operations on buffers: dense algebra, transformer layers, sparse autoencoders, ranking. No
 * models.
 */
module dev.rhumb.kernels {
  requires transitive dev.rhumb.bindings;
  requires jdk.incubator.vector;
  requires static jdk.jfr;

  exports dev.rhumb.kernels;
}
