/**
 * Native libraries behind Java methods: nobody above this module sees a MethodHandle. The generated
 * packages, one for each library, are seen by the kernels alone.
 */
// The kernels' module is compiled after this one.
@SuppressWarnings("module")
module dev.rhumb.bindings {
  exports dev.rhumb.bindings;
  exports dev.rhumb.bindings.rhumb to
      dev.rhumb.kernels;
}
