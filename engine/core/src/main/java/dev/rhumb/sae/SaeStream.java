package dev.rhumb.sae;

import dev.rhumb.kernels.Activation;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Site;
import dev.rhumb.train.TrainingDivergedException;
import java.util.Arrays;

/**
 * Hidden states to learn from, standardised, batch by batch: drawn once for all autoencoders that
 * learn from them. What it gives depends on the source and the batch alone, not on who learns.
 *
 * <p>The first draws are a sample for the one mean and the one deviation over all elements, the
 * next one for the geometric median; the batches follow.
 *
 * <p>Ownership: owns its batch; not the source. Threads: one at a time.
 */
final class SaeStream implements AutoCloseable {
  /** Rows from which the mean and the deviation are taken. */
  private static final int SAMPLE = 1 << 16;

  private static final int MEDIAN_SAMPLE = 1 << 13;

  private final Kernels kernels;
  private final RowSource source;
  private final Site site;
  private final int width;
  private final int batch;
  private final Buffer memory;
  private final Buffer x;
  private final Buffer shift;
  private final double mean;
  private final double deviation;
  private final double scale;
  private final float[] median;

  /**
   * Takes the samples.
   *
   * @param standardised whether the mean is taken off and the deviation divided by; if not, the
   *     batches are the states as they are
   */
  SaeStream(
      Kernels kernels, RowSource source, Site site, int width, int batch, boolean standardised) {
    this.kernels = kernels;
    this.source = source;
    this.site = site;
    this.width = width;
    this.batch = batch;
    long elements = (long) batch * width;
    memory = kernels.allocate(DType.F32, elements + width);
    x = memory.slice(0, elements);
    shift = memory.slice(elements, width);
    boolean made = false;
    try {
      float[] sample = raw(SAMPLE);
      double sum = 0;
      for (float value : sample) {
        sum += value;
      }
      double mean = sum / sample.length;
      double deviation = deviation(sample, mean);
      this.mean = standardised ? mean : 0;
      this.deviation = standardised ? deviation : 1;
      scale = Math.sqrt(width) * (standardised ? 1 : deviation);
      float[] shifts = new float[width];
      Arrays.fill(shifts, (float) (-this.mean / this.deviation));
      shift.put(0, shifts, 0, width);
      median = sampleMedian();
      made = true;
    } finally {
      if (!made) {
        memory.close();
      }
    }
  }

  private double deviation(float[] sample, double mean) {
    double squares = 0;
    for (float value : sample) {
      squares += (value - mean) * (value - mean);
    }
    double result = Math.sqrt(squares / sample.length);
    if (!Double.isFinite(result)) {
      throw new TrainingDivergedException(
          "SAE training: the hidden states at '"
              + site
              + "' are not all finite; train the model anew");
    }
    if (result == 0) {
      throw new IllegalArgumentException(
          "SAE: the hidden states at '" + site + "' are all the same; choose another site");
    }
    return result;
  }

  private float[] sampleMedian() {
    float[] sample = raw(MEDIAN_SAMPLE);
    double[] raw = GeometricMedian.of(sample, sample.length / width, width);
    float[] standard = new float[width];
    for (int d = 0; d < width; d++) {
      standard[d] = (float) ((raw[d] - mean) / deviation);
    }
    return standard;
  }

  private float[] raw(int most) {
    int rows = (int) Math.min(source.rows(), most);
    float[] sample = new float[Math.multiplyExact(rows, width)];
    for (int done = 0; done < rows; done += batch) {
      int n = Math.min(batch, rows - done);
      source.draw(x, n);
      x.get(0, sample, done * width, n * width);
    }
    return sample;
  }

  /** D. */
  int width() {
    return width;
  }

  /** Rows in a batch. */
  int batch() {
    return batch;
  }

  /** Rows in an epoch. */
  long rows() {
    return source.rows();
  }

  /** What is taken off every element; 0 where states are taken as they are. */
  double mean() {
    return mean;
  }

  /** What every element is then divided by; 1 where states are taken as they are. */
  double deviation() {
    return deviation;
  }

  /** The root of D times the deviation of the batches' elements. */
  double scale() {
    return scale;
  }

  /** The geometric median (D) of a sample, standardised. */
  float[] median() {
    return median.clone();
  }

  /** The next batch (batch, D), standardised; it holds until the next call. */
  Buffer next() {
    source.draw(x, batch);
    // x / deviation - mean / deviation: a product of no terms, to which the shift is added.
    kernels
        .dense()
        .gemm(
            false,
            false,
            batch,
            width,
            0,
            0,
            x,
            width,
            x,
            width,
            (float) (1 / deviation),
            x,
            width,
            shift,
            Activation.NONE);
    return x;
  }

  @Override
  public void close() {
    memory.close();
  }
}
