/**
 * Native libraries behind Java methods: nobody above this module sees a MethodHandle. The generated
 * packages, one for each library, stay inside.
 */
module dev.rhumb.bindings {
  exports dev.rhumb.bindings;
}
