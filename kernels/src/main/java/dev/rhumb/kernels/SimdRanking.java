package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScoreBlock.CHUNK;
import static dev.rhumb.kernels.ScoreBlock.MOST_ROWS;
import static dev.rhumb.kernels.ScorePanels.PANEL;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.ceilDiv;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.setInt;

import java.util.Arrays;

/**
 * {@link Ranking} on the Vector API. The catalogue goes in chunks: its rows are packed in panels,
 * then every block of rows is scored against them and keeps what can be among its k best. A score
 * is the chain of {@link ScorePanels} from 0, whatever the number of rows.
 */
final class SimdRanking extends Ranking {
  private final Workers workers;
  private final ScoreBlock[] blocks;
  private final Workers.Task packTask = this::pack;
  private final Workers.Task rankTask = this::rank;

  // The arguments of the call under way.
  private int rows;
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

  // The chunk under way, and what each row has kept of those before: how many, and their least.
  private int firstItem;
  private int chunkItems;
  private long panels;
  private long magnitudes;
  private long saved;
  private long least;

  SimdRanking(Workers workers) {
    this.workers = workers;
    blocks = new ScoreBlock[workers.threads()];
    Arrays.setAll(blocks, i -> new ScoreBlock());
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
    if (rows == 0) {
      return;
    }
    int chunkPanels = Math.min(CHUNK, ScorePanels.panels(tableRows));
    long panelBytes = chunkPanels * ScorePanels.bytes(width);
    panels = workers.shared().reserve(panelBytes + chunkPanels * 4L + rows * 8L);
    magnitudes = panels + panelBytes;
    saved = magnitudes + chunkPanels * 4L;
    least = saved + rows * 4L;
    for (firstItem = 0; firstItem < tableRows; firstItem += CHUNK * PANEL) {
      chunkItems = Math.min(CHUNK * PANEL, tableRows - firstItem);
      workers.run(ScorePanels.panels(chunkItems), packTask);
      workers.run(ceilDiv(rows, MOST_ROWS), rankTask);
    }
  }

  private void pack(int panel, int worker) {
    int first = firstItem + panel * PANEL;
    int count = Math.min(PANEL, tableRows - first);
    long to = panels + panel * ScorePanels.bytes(width);
    float most = 0;
    for (int i = 0; i < count; i++) {
      most = Math.max(most, ScorePanels.put(table + (first + i) * (width * 4L), width, 0, to, i));
    }
    ScorePanels.pad(width, to, count);
    set(magnitudes + panel * 4L, most);
  }

  /** Ranks a block of rows against the chunk. */
  private void rank(int task, int worker) {
    int first = task * MOST_ROWS;
    int count = Math.min(MOST_ROWS, rows - first);
    int chunk = ScorePanels.panels(chunkItems);
    long memory = workers.own(worker).reserve(ScoreBlock.bytes(count, width, kept, chunk));
    ScoreBlock block = blocks[worker];
    block.start(count, width, kept, chunk, memory);
    float mostWeight = 0;
    for (int p = 0; p < chunk; p++) {
      mostWeight = Math.max(mostWeight, get(magnitudes + p * 4L));
    }
    for (int r = 0; r < count; r++) {
      block.row(r, h + (first + r) * hStride, 0, mostWeight, 0);
      if (firstItem > 0) {
        long at = (first + r) * 4L;
        block.resume(r, getInt(saved + at), get(least + at));
      }
    }
    block.score(count, panels, chunk);
    boolean last = firstItem + chunkItems == tableRows;
    for (int r = 0; r < count; r++) {
      exclude(block, r, first + r);
      long at = (long) (first + r) * kept * 4;
      if (last) {
        fill(at, block.finish(r, chunk, firstItem, items + at, scores + at));
      } else {
        block.keep(r, chunk, firstItem, items + at, scores + at);
        setInt(saved + (first + r) * 4L, block.saved(r));
        set(least + (first + r) * 4L, block.least(r));
      }
    }
  }

  /** Bars the padding item and the row's excluded ones: NaN scores are never chosen. */
  private void exclude(ScoreBlock block, int r, int row) {
    if (!block.safe(r)) {
      mark(block, r, row, 0);
      int nan = block.findNaN(r, chunkItems);
      if (nan >= 0) {
        throw new ArithmeticException(
            "topItems: row " + row + ": the score of item " + (firstItem + nan) + " is NaN");
      }
    }
    mark(block, r, row, Float.NaN);
  }

  private void mark(ScoreBlock block, int r, int row, float score) {
    if (firstItem == 0) {
      markAt(block, r, 0, score);
    }
    if (excluded != 0) {
      int end = getInt(offsets + (row + 1) * 4L);
      for (int i = getInt(offsets + row * 4L); i < end; i++) {
        // Items of other chunks, and numbers that are no items, come out as out of range.
        markAt(block, r, getInt(excluded + i * 4L) - firstItem, score);
      }
    }
  }

  private void markAt(ScoreBlock block, int r, int at, float score) {
    if (at >= 0 && at < chunkItems) {
      set(block.scores(r) + at * 4L, score);
      int panel = at / PANEL;
      ScorePanels.maximaOfNumbers(
          block.scores(r) + panel * (PANEL * 4L), block.maxima(r) + panel * (long) BYTES);
    }
  }

  private void fill(long at, int from) {
    for (int i = from; i < kept; i++) {
      setInt(items + at + i * 4L, 0);
      set(scores + at + i * 4L, Float.NEGATIVE_INFINITY);
    }
  }
}
