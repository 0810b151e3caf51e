package dev.rhumb.bindings;

import dev.rhumb.bindings.DynamicLinker.LinkException;
import dev.rhumb.bindings.NativeException.Kind;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;

/** Looks for a shared library in a list of places; where none fits, says why of each. */
final class LibrarySearch {
  private LibrarySearch() {}

  /**
   * A place to look.
   *
   * @param origin what named it
   * @param library its name in messages
   * @param file what the dynamic linker is asked for; null: {@code library} itself
   */
  record Candidate(String origin, String library, Place file) {
    /** A file that is there, or a name that the dynamic linker resolves. */
    Candidate(String origin, String library) {
      this(origin, library, null);
    }
  }

  /** A place that is not ready before it is asked for. */
  interface Place {
    /**
     * What the dynamic linker is asked for.
     *
     * @throws LinkException where it cannot be had
     */
    String get() throws LinkException;
  }

  /** Looks at a library before the JVM takes it for good. */
  interface Probe {
    /**
     * A symbol that only a library that fits has.
     *
     * @throws LinkException where the library does not fit and the next one is to be tried
     * @throws NativeException where the search is over
     */
    MemorySegment symbolOf(MemorySegment library) throws LinkException;
  }

  /** The file that a setting names, as the only place to look; no place where it is not set. */
  static List<Candidate> setting(String name) {
    String value = Settings.get(name);
    if (value == null) {
      return List.of();
    }
    String origin =
        value.equals(System.getProperty(name, "").strip()) ? name : Settings.variable(name);
    return List.of(new Candidate(origin, Path.of(value).toAbsolutePath().toString()));
  }

  /**
   * The absolute path of the first candidate that fits.
   *
   * @param kind of the exception where none does
   * @param what is looked for, the first words of the exception's message
   * @param mend its last sentence: what to do
   */
  static Path find(List<Candidate> candidates, Probe probe, Kind kind, String what, String mend) {
    if (!DynamicLinker.present()) {
      throw new NativeException(kind, what + ": this system's dynamic linker has no dlopen.");
    }
    StringBuilder reasons = new StringBuilder();
    for (Candidate candidate : candidates) {
      try {
        MemorySegment library =
            DynamicLinker.open(
                candidate.file() == null ? candidate.library() : candidate.file().get());
        try {
          return Path.of(DynamicLinker.file(probe.symbolOf(library))).toAbsolutePath();
        } finally {
          DynamicLinker.close(library);
        }
      } catch (LinkException e) {
        reasons.append("\n  ").append(candidate.origin()).append(": ").append(candidate.library());
        reasons.append(": ").append(e.getMessage());
      }
    }
    throw new NativeException(kind, what + ". Tried:" + reasons + "\n" + mend);
  }

  /**
   * Loads a library for as long as the JVM runs. From here on the generated bindings, which ask
   * this class's loader, see its symbols.
   */
  static void load(Path file) {
    try {
      System.load(file.toString());
    } catch (UnsatisfiedLinkError e) {
      // It opened a moment ago: what is left is the JVM's own rule of one class loader a library.
      throw new NativeException(
          Kind.LIBRARY,
          file
              + ": "
              + e.getMessage()
              + "\nPut rhumb-bindings where one class loader serves all its users.");
    }
  }
}
