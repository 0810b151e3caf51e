package dev.rhumb.sae;

import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.Buffer;
import java.util.Arrays;

/**
 * Writes shards of a cache in ascending order, reading a model's hidden states from the sequence on
 * in which the next missing row lies. Takes memory for one shard. One thread at a time.
 */
final class ShardWriter implements AutoCloseable {
  private final RowReader reader;
  private final int width;
  private final HostRows host;

  /** The number of the first row of each sequence, and of all rows. */
  private final long[] starts;

  /** The rows that were read last and not used: the first one's number, its place and the end. */
  private long row = -1;

  private int from;
  private int to;

  /**
   * @param reader of the sequences, one a piece; stays the caller's
   * @param maxLength T: how many positions of a sequence count
   */
  ShardWriter(ActivationCache cache, RowReader reader, Sequences data, int maxLength) {
    this.reader = reader;
    width = reader.width();
    starts = new long[data.count() + 1];
    for (int i = 0; i < data.count(); i++) {
      starts[i + 1] = starts[i] + Math.min(maxLength, data.length(i));
    }
    host = new HostRows(cache.dtype(), cache.shard(0).count());
  }

  void write(CacheShard shard) {
    if (row != shard.first()) {
      seek(shard.first());
    }
    int done = 0;
    while (done < shard.rows()) {
      if (from == to) {
        if (!reader.next()) {
          throw new IllegalStateException("sequences ended before row " + row);
        }
        from = 0;
        to = reader.count();
      }
      int n = Math.min(shard.rows() - done, to - from);
      host.put((long) done * width, rows(n));
      done += n;
      from += n;
      row += n;
    }
    shard.write(host.stored(shard.count()));
  }

  private Buffer rows(int n) {
    return reader.state().slice((long) from * width, (long) n * width);
  }

  /** Reads on to a row: from the start of its sequence. */
  private void seek(long wanted) {
    int found = Arrays.binarySearch(starts, wanted);
    int sequence = found >= 0 ? found : -found - 2;
    int[] order = new int[starts.length - 1 - sequence];
    Arrays.setAll(order, i -> sequence + i);
    reader.restart(order);
    row = wanted;
    // The first batch holds the whole sequence.
    reader.next();
    from = (int) (wanted - starts[sequence]);
    to = reader.count();
  }

  @Override
  public void close() {
    host.close();
  }
}
