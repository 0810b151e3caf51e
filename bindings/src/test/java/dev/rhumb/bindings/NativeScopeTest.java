package dev.rhumb.bindings;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class NativeScopeTest {
  private final List<String> closed = new ArrayList<>();
  private final NativeScope scope = new NativeScope();

  private AutoCloseable named(String name) {
    return () -> closed.add(name);
  }

  private AutoCloseable failing(String name, Exception failure) {
    return () -> {
      closed.add(name);
      throw failure;
    };
  }

  @Test
  void closesInReverseOrderAndOnce() {
    AutoCloseable first = named("first");
    assertSame(first, scope.add(first));
    scope.add(named("second"));
    scope.add(named("third"));
    scope.close();
    scope.close();
    assertEquals(List.of("third", "second", "first"), closed);
  }

  @Test
  void aFailingCloseStopsNoOther() {
    Exception last = new IllegalArgumentException("of the third");
    Exception checked = new IOException("of the first");
    scope.add(failing("first", checked));
    scope.add(named("second"));
    scope.add(failing("third", last));
    Exception thrown = assertThrows(IllegalArgumentException.class, scope::close);
    assertSame(last, thrown);
    assertArrayEquals(new Throwable[] {checked}, thrown.getSuppressed());
    assertEquals(List.of("third", "second", "first"), closed);
  }

  @Test
  void aCheckedFailureIsWrapped() {
    Exception checked = new IOException("disk");
    scope.add(failing("only", checked));
    assertSame(checked, assertThrows(IllegalStateException.class, scope::close).getCause());
  }

  @Test
  void afterAFailureThatOneIsThrown() {
    Exception second = new IOException("of the second");
    RuntimeException cause = new RuntimeException("cause");
    scope.add(named("first"));
    scope.add(failing("second", second));
    assertSame(cause, scope.closeAfter(cause));
    assertArrayEquals(new Throwable[] {second}, cause.getSuppressed());
    assertEquals(List.of("second", "first"), closed);
    Error error = new AssertionError("x");
    assertSame(error, assertThrows(AssertionError.class, () -> scope.closeAfter(error)));
  }

  @Test
  void aClosedScopeClosesWhatItRefuses() {
    scope.close();
    assertThrows(IllegalStateException.class, () -> scope.add(named("late")));
    assertEquals(List.of("late"), closed);
  }
}
