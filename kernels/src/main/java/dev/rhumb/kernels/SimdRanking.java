package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScorePanels.PANEL;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.ceilDiv;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.setInt;
import static dev.rhumb.kernels.TopBlock.CHUNK;

import java.util.Arrays;

/**
 * {@link Ranking} on the Vector API. A block of rows takes the catalogue in chunks, scores it and
 * keeps what can be among each row's k best. A score is one of {@link Dots}, whatever the number of
 * rows, so that serving and evaluation agree to the bit; the table is read as it lies, once for
 * each block.
 */
final class SimdRanking extends Ranking {
  /** Rows of a block. */
  private static final int BLOCK = 16;

  private final Workers workers;
  private final TopBlock[] blocks;
  private final Workers.Task task = this::rank;

  // The arguments of the call under way.
  private int rows;
  private int blockRows;
  private int width;
  private int tableRows;
  private long h;
  private long hStride;
  private long table;
  private int kept;
  private long offsets;
  private long excluded;
  private long items;
  private long scores;

  SimdRanking(Workers workers) {
    this.workers = workers;
    blocks = new TopBlock[workers.threads()];
    Arrays.setAll(blocks, i -> new TopBlock());
  }

  @Override
  void doTopItems(
      int rows,
      int width,
      int tableRows,
      Buffer h,
      long hStride,
      Buffer table,
      int k,
      Buffer excludedOffsets,
      Buffer excluded,
      Buffer items,
      Buffer scores) {
    if (excluded != null) {
      checkExcluded(rows, excludedOffsets, excluded);
    }
    this.rows = rows;
    this.width = width;
    this.tableRows = tableRows;
    this.h = h.segment().address();
    this.hStride = hStride * 4;
    this.table = table.segment().address();
    kept = k;
    offsets = excluded == null ? 0 : excludedOffsets.segment().address();
    this.excluded = excluded == null ? 0 : excluded.segment().address();
    this.items = items.segment().address();
    this.scores = scores.segment().address();
    blockRows = Math.clamp(ceilDiv(rows, workers.threads()), 1, BLOCK);
    workers.run(ceilDiv(rows, blockRows), task);
  }

  /** The top items of a block of rows. */
  private void rank(int task, int worker) {
    int first = task * blockRows;
    int count = Math.min(blockRows, rows - first);
    int panels = Math.min(CHUNK, ScorePanels.panels(tableRows));
    TopBlock block = blocks[worker];
    block.start(
        count,
        count,
        kept,
        panels,
        workers.own(worker).reserve(TopBlock.bytes(count, kept, panels)));
    for (int item = 0; item < tableRows; item += CHUNK * PANEL) {
      int chunkItems = Math.min(CHUNK * PANEL, tableRows - item);
      int chunk = ScorePanels.panels(chunkItems);
      // A panel of the table is read into the cache for all rows.
      for (int p = 0; p < chunk; p++) {
        for (int r = 0; r < count; r++) {
          scorePanel(block, r, first + r, item, p, Math.min(PANEL, chunkItems - p * PANEL));
        }
      }
      for (int r = 0; r < count; r++) {
        choose(block, r, first + r, item, chunkItems);
      }
    }
  }

  private void scorePanel(TopBlock block, int r, int row, int item, int panel, int count) {
    long to = block.scores(r) + panel * (PANEL * 4L);
    long from = table + (item + panel * PANEL) * (width * 4L);
    Dots.dots(h + row * hStride, from, count, width, to);
    for (int i = count; i < PANEL; i++) {
      set(to + i * 4L, Float.NaN);
    }
  }

  private void choose(TopBlock block, int r, int row, int item, int chunkItems) {
    // What is excluded does not count as NaN, then it becomes NaN: no comparison lets that in.
    exclude(block, r, row, item, chunkItems, 0);
    int nan = block.findNaN(r, chunkItems);
    if (nan >= 0) {
      throw new ArithmeticException(
          "topItems: row " + row + ": the score of item " + (item + nan) + " is NaN");
    }
    exclude(block, r, row, item, chunkItems, Float.NaN);
    int chunk = ScorePanels.panels(chunkItems);
    for (int p = 0; p < chunk; p++) {
      ScorePanels.maximaOfNumbers(
          block.scores(r) + p * (PANEL * 4L), block.maxima(r) + p * (long) BYTES);
    }
    long at = (long) row * kept * 4;
    if (item + chunkItems < tableRows) {
      block.keep(r, chunk, item, items + at, scores + at);
    } else {
      fill(at, block.finish(r, chunk, item, items + at, scores + at));
    }
  }

  /** Sets the scores of the padding item and of the row's excluded ones. */
  private void exclude(TopBlock block, int r, int row, int item, int chunkItems, float score) {
    if (item == 0) {
      set(block.scores(r), score);
    }
    if (excluded != 0) {
      int end = getInt(offsets + (row + 1) * 4L);
      for (int i = getInt(offsets + row * 4L); i < end; i++) {
        // Items of other chunks, and numbers that are no items, are out of range.
        int at = getInt(excluded + i * 4L) - item;
        if (at >= 0 && at < chunkItems) {
          set(block.scores(r) + at * 4L, score);
        }
      }
    }
  }

  private void fill(long at, int from) {
    for (int i = from; i < kept; i++) {
      setInt(items + at + i * 4L, 0);
      set(scores + at + i * 4L, Float.NEGATIVE_INFINITY);
    }
  }
}
