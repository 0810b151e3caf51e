package dev.rhumb.interpret;

/** Which users count. */
public enum Half {
  /** Those on which something is chosen. */
  FIRST,
  /** Those on which it is scored. */
  SECOND,
  /** All. */
  BOTH;

  boolean has(boolean second) {
    return this == BOTH || second == (this == SECOND);
  }
}
