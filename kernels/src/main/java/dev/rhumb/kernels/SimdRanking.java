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

  /** Up to this many rows are ranked one by one from a compressed catalogue. */
  private static final int MOST_PRUNED = 3;

  private final Workers workers;
  private final TopBlock[] blocks;
  private final PrunedItems[] pruned;
  private final Workers.Task task = this::rank;
  private final Workers.Task prunedTask = this::rankPruned;
  private final Workers.Task compressTask = this::compressPanel;

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
  private BytePanels panels;

  SimdRanking(Workers workers) {
    this.workers = workers;
    blocks = new TopBlock[workers.threads()];
    Arrays.setAll(blocks, i -> new TopBlock());
    pruned = new PrunedItems[workers.threads()];
    Arrays.setAll(pruned, i -> new PrunedItems());
  }

  @Override
  CompressedItems doCompress(int tableRows, int width, Buffer table) {
    SimdCompressedItems compressed = new SimdCompressedItems(tableRows, width, table);
    if (compressed.panels != null) {
      this.tableRows = tableRows;
      this.width = width;
      this.table = table.segment().address();
      panels = compressed.panels;
      int count = ScorePanels.panels(tableRows);
      workers.run(count, compressTask);
      panels.finish(count);
      panels = null;
    }
    return compressed;
  }

  private void compressPanel(int p, int worker) {
    int first = p * PANEL;
    int count = Math.min(PANEL, tableRows - first);
    panels.begin(p);
    for (int i = 0; i < count; i++) {
      panels.put(p, i, table + (first + i) * (width * 4L), 0);
    }
    for (int i = count; i < PANEL; i++) {
      panels.clear(p, i);
    }
    if (p == 0) {
      panels.clear(0, 0);
    }
  }

  @Override
  void doTopItems(
      int rows,
      CompressedItems catalogue,
      Buffer h,
      long hStride,
      int k,
      Buffer excludedOffsets,
      Buffer excluded,
      Buffer items,
      Buffer scores) {
    panels = ((SimdCompressedItems) catalogue).panels;
    if (panels == null || rows > MOST_PRUNED) {
      super.doTopItems(rows, catalogue, h, hStride, k, excludedOffsets, excluded, items, scores);
      return;
    }
    take(
        rows,
        catalogue.width(),
        catalogue.tableRows(),
        h,
        hStride,
        catalogue.table(),
        k,
        excludedOffsets,
        excluded,
        items,
        scores);
    blockRows = 1;
    workers.run(rows, prunedTask);
    panels = null;
  }

  /** The top items of one row. */
  private void rankPruned(int row, int worker) {
    long room = workers.own(worker).reserve(Dots.ROOM + PrunedTop.bytes(tableRows, kept, width));
    long at = (long) row * kept * 4;
    int found = pruned[worker].find(row, room, items + at, scores + at);
    if (found < 0) {
      rank(row, worker);
    } else {
      fill(at, found);
    }
  }

  /** Of the last row that worker 0 pruned, how many chunks were scored in full. */
  int chunksInFull() {
    return pruned[0].chunksInFull();
  }

  /** Items of the catalogue of the call under way. */
  private final class PrunedItems extends PrunedTop {
    private int row;
    private long room;

    int find(int row, long room, long to, long toScores) {
      this.row = row;
      this.room = room;
      long memory = room + Dots.ROOM;
      return find(panels, tableRows, kept, width, h + row * hStride, memory, to, toScores);
    }

    @Override
    boolean exclude(int first, int count, long scores) {
      return SimdRanking.this.exclude(scores, row, first, count, Float.NaN);
    }

    @Override
    void score(int count, long indices, long scores) {
      Dots.dots(h + row * hStride, table, width * 4L, indices, count, width, room, scores);
    }

    @Override
    void scoreAll(int first, int count, long scores, long maxima) {
      for (int i = 0; i < count; i += PANEL) {
        scorePanel(row, first + i, Math.min(PANEL, count - i), room, scores + i * 4L);
      }
    }
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
    take(rows, width, tableRows, h, hStride, table, k, excludedOffsets, excluded, items, scores);
    blockRows = Math.clamp(ceilDiv(rows, workers.threads()), 1, BLOCK);
    workers.run(ceilDiv(rows, blockRows), task);
  }

  private void take(
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
  }

  /** The top items of a block of rows. */
  private void rank(int task, int worker) {
    int first = task * blockRows;
    int count = Math.min(blockRows, rows - first);
    int panels = Math.min(CHUNK, ScorePanels.panels(tableRows));
    TopBlock block = blocks[worker];
    long room = workers.own(worker).reserve(Dots.ROOM + TopBlock.bytes(count, kept, panels));
    block.start(count, count, kept, panels, room + Dots.ROOM);
    for (int item = 0; item < tableRows; item += CHUNK * PANEL) {
      int chunkItems = Math.min(CHUNK * PANEL, tableRows - item);
      int chunk = ScorePanels.panels(chunkItems);
      // A panel of the table is read into the cache for all rows.
      for (int p = 0; p < chunk; p++) {
        for (int r = 0; r < count; r++) {
          scorePanel(
              first + r,
              item + p * PANEL,
              Math.min(PANEL, chunkItems - p * PANEL),
              room,
              block.scores(r) + p * (PANEL * 4L));
        }
      }
      for (int r = 0; r < count; r++) {
        choose(block, r, first + r, item, chunkItems);
      }
    }
  }

  private void scorePanel(int row, int item, int count, long room, long to) {
    long bytes = width * 4L;
    Dots.dots(h + row * hStride, table + item * bytes, bytes, count, width, room, to);
    for (int i = count; i < PANEL; i++) {
      set(to + i * 4L, Float.NaN);
    }
  }

  private void choose(TopBlock block, int r, int row, int item, int chunkItems) {
    // What is excluded does not count as NaN, then it becomes NaN: no comparison lets that in.
    exclude(block.scores(r), row, item, chunkItems, 0);
    int nan = block.findNaN(r, chunkItems);
    if (nan >= 0) {
      throw new ArithmeticException(
          "topItems: row " + row + ": the score of item " + (item + nan) + " is NaN");
    }
    exclude(block.scores(r), row, item, chunkItems, Float.NaN);
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

  /**
   * Sets the scores of the padding item and of the row's excluded ones; whether there were any of
   * these.
   */
  private boolean exclude(long scores, int row, int item, int chunkItems, float score) {
    boolean any = false;
    if (item == 0) {
      set(scores, score);
    }
    if (excluded != 0) {
      int end = getInt(offsets + (row + 1) * 4L);
      for (int i = getInt(offsets + row * 4L); i < end; i++) {
        // Items of other chunks, and numbers that are no items, are out of range.
        int at = getInt(excluded + i * 4L) - item;
        if (at >= 0 && at < chunkItems) {
          set(scores + at * 4L, score);
          any = true;
        }
      }
    }
    return any;
  }

  private void fill(long at, int from) {
    for (int i = from; i < kept; i++) {
      setInt(items + at + i * 4L, 0);
      set(scores + at + i * 4L, Float.NEGATIVE_INFINITY);
    }
  }
}
