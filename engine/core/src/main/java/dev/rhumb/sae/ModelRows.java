package dev.rhumb.sae;

import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import dev.rhumb.model.Site;

/** Hidden states as a model computes them; a piece is a sequence. */
final class ModelRows implements RowReader {
  private final StateReader reader;
  private final int width;
  private final int sequences;

  ModelRows(Kernels kernels, Model model, Site site, Sequences sequences) {
    reader = new StateReader(kernels, model, site, sequences);
    width = model.config().width();
    this.sequences = sequences.count();
  }

  @Override
  public long rows() {
    return reader.rows();
  }

  @Override
  public int width() {
    return width;
  }

  @Override
  public int pieces() {
    return sequences;
  }

  @Override
  public void restart(int[] order) {
    reader.restart(order);
  }

  @Override
  public boolean next() {
    return reader.next();
  }

  @Override
  public int count() {
    return reader.batch().rows();
  }

  @Override
  public Buffer state() {
    return reader.state().slice(0, (long) count() * width);
  }

  @Override
  public void close() {
    reader.close();
  }
}
