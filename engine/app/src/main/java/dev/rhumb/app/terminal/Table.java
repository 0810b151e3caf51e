package dev.rhumb.app.terminal;

import java.util.ArrayList;
import java.util.List;

/** Rows of text in aligned columns: the first to the left, numbers to the right. */
public final class Table {
  private static final int INDENT = 2;
  private static final int GAP = 2;

  private final List<String[]> rows = new ArrayList<>();

  /** A table with these headings. */
  public Table(String... headings) {
    rows.add(headings);
  }

  /** Adds a row. */
  public Table row(String... cells) {
    if (cells.length != rows.getFirst().length) {
      throw new IllegalArgumentException(
          cells.length + " cells in a table of " + rows.getFirst().length + " columns");
    }
    rows.add(cells);
    return this;
  }

  /** The lines, each with its end. */
  String text() {
    int columns = rows.getFirst().length;
    int[] widths = new int[columns];
    boolean[] numbers = new boolean[columns];
    for (int c = 0; c < columns; c++) {
      numbers[c] = rows.size() > 1;
      for (int r = 0; r < rows.size(); r++) {
        String cell = rows.get(r)[c];
        widths[c] = Math.max(widths[c], cell.codePointCount(0, cell.length()));
        numbers[c] &= r == 0 || cell.isEmpty() || cell.matches("[-+]?[0-9.,]+( ?[%a-z]{1,2})?");
      }
    }
    StringBuilder text = new StringBuilder();
    for (String[] row : rows) {
      StringBuilder line = new StringBuilder(" ".repeat(INDENT));
      for (int c = 0; c < columns; c++) {
        String pad = " ".repeat(widths[c] - row[c].codePointCount(0, row[c].length()));
        line.append(numbers[c] ? pad + row[c] : row[c] + pad).append(" ".repeat(GAP));
      }
      text.append(line.toString().stripTrailing()).append('\n');
    }
    return text.toString();
  }
}
