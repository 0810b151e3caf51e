package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;

/**
 * Hidden states as an {@link ActivationCache} holds them; a piece is a shard, whose checksum is
 * looked at before its rows are given. Takes memory for one shard.
 */
final class CacheRows implements RowReader {
  private final ActivationCache cache;
  private final HostRows host;
  private final Buffer state;
  private int[] order;
  private int next;
  private int count;

  CacheRows(Kernels kernels, ActivationCache cache) {
    this.cache = cache;
    long most = cache.shard(0).count();
    host = new HostRows(cache.dtype(), most);
    state = kernels.allocate(DType.F32, most);
  }

  @Override
  public long rows() {
    return cache.rows();
  }

  @Override
  public int width() {
    return cache.width();
  }

  @Override
  public int pieces() {
    return cache.shards();
  }

  @Override
  public void restart(int[] order) {
    this.order = order;
    next = 0;
  }

  @Override
  public boolean next() {
    if (next == (order == null ? pieces() : order.length)) {
      return false;
    }
    CacheShard shard = cache.shard(order == null ? next : order[next]);
    next++;
    count = shard.rows();
    shard.read(host.stored(shard.count()));
    host.copyTo(state.slice(0, shard.count()));
    return true;
  }

  @Override
  public int count() {
    return count;
  }

  @Override
  public Buffer state() {
    return state.slice(0, (long) count * width());
  }

  @Override
  public void close() {
    host.close();
    state.close();
  }
}
