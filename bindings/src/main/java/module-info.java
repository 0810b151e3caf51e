/** Native libraries behind Java methods: nobody above this module sees a MethodHandle. */
module dev.rhumb.bindings {
  exports dev.rhumb.bindings;
}
