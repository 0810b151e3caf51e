package dev.rhumb.bindings;

/** The kernels' native library. */
public final class NativeLibrary {
  private NativeLibrary() {}
}
