package dev.rhumb.model;

/**
 * What stands before a sequence that is shorter than T. Padding on the left is how some imported
 * models were trained: their positions count from the end of the window, and their items attend to
 * the padding, which no mask hides. Such a model can be run, not trained.
 */
public enum Padding {
  /** Nothing: positions count from the first item. */
  NONE,
  /** Rows of item 0 without a position, which go through all blocks. */
  LEFT,
  /** Rows that are zero at the input of every block. */
  LEFT_ZEROED
}
