package dev.rhumb.interpret;

import java.util.Arrays;

/**
 * The assignment problem: each row gets a column of its own so that the sum of their scores is
 * largest. The Hungarian method with shortest augmenting paths (Kuhn 1955; Jonker and Volgenant
 * 1987): rows are added one by one, and prices of rows and columns keep every reduced cost at 0 or
 * more. Time: rows squared times columns.
 */
final class Assignment {
  private Assignment() {}

  /**
   * For each row its column; where there are more rows than columns, -1 for those left over.
   *
   * @param scores (rows, columns), finite
   */
  static int[] largest(double[][] scores) {
    int rows = scores.length;
    int columns = rows == 0 ? 0 : scores[0].length;
    if (rows <= columns) {
      return solve(scores, rows, columns, false);
    }
    int[] rowOf = solve(scores, columns, rows, true);
    int[] columnOf = new int[rows];
    Arrays.fill(columnOf, -1);
    for (int c = 0; c < columns; c++) {
      columnOf[rowOf[c]] = c;
    }
    return columnOf;
  }

  /** At least as many columns as rows. */
  private static int[] solve(double[][] scores, int rows, int columns, boolean transposed) {
    double[] rowPrice = new double[rows];
    double[] columnPrice = new double[columns];
    int[] rowOf = new int[columns];
    Arrays.fill(rowOf, -1);
    int[] from = new int[columns];
    double[] distance = new double[columns];
    boolean[] done = new boolean[columns];
    for (int added = 0; added < rows; added++) {
      Arrays.fill(distance, Double.POSITIVE_INFINITY);
      Arrays.fill(done, false);
      Arrays.fill(from, -1);
      int row = added;
      int column = -1;
      // Grow the tree of cheapest alternating paths from the new row until it meets a free column.
      do {
        int next = -1;
        for (int c = 0; c < columns; c++) {
          if (done[c]) {
            continue;
          }
          double cost = transposed ? -scores[c][row] : -scores[row][c];
          double reduced = cost - rowPrice[row] - columnPrice[c];
          if (reduced < distance[c]) {
            distance[c] = reduced;
            from[c] = column;
          }
          if (next < 0 || distance[c] < distance[next]) {
            next = c;
          }
        }
        double step = distance[next];
        rowPrice[added] += step;
        for (int c = 0; c < columns; c++) {
          if (done[c]) {
            rowPrice[rowOf[c]] += step;
            columnPrice[c] -= step;
          } else {
            distance[c] -= step;
          }
        }
        done[next] = true;
        column = next;
        row = rowOf[next];
      } while (row >= 0);
      // Turn the path over.
      while (column >= 0) {
        int before = from[column];
        rowOf[column] = before < 0 ? added : rowOf[before];
        column = before;
      }
    }
    int[] columnOf = new int[rows];
    for (int c = 0; c < columns; c++) {
      if (rowOf[c] >= 0) {
        columnOf[rowOf[c]] = c;
      }
    }
    return columnOf;
  }
}
