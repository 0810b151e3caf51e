package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.ADDRESS;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.I;
import static dev.rhumb.kernels.Simd.INDEX;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.ceilDiv;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.setInt;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/** {@link Layers} on the Vector API. */
final class SimdLayers extends Layers {
  private static final int ROWS = 64;
  private static final int ELEMENTS = 1 << 13;

  /** Tasks that share the ids of a scatter. */
  private static final int PARTS = 64;

  private final Workers workers;
  private final SimdNorms norms;
  private final Workers.Task swigluTask = this::swigluRows;
  private final Workers.Task swigluBackwardTask = this::swigluBackwardRows;
  private final Workers.Task rotaryTask = this::rotaryRows;
  private final Workers.Task activationTask = this::activationChunk;
  private final Workers.Task activationBackwardTask = this::activationBackwardChunk;
  private final Workers.Task dropoutTask = this::dropoutRows;
  private final Workers.Task gatherTask = this::gatherRows;
  private final Workers.Task scatterTask = this::scatterPart;

  // The arguments of the call under way; strides in bytes.
  private int rows;
  private int cols;
  private long x;
  private long xStride;
  private long y;
  private long dy;
  private float scale;
  private float yBeta;
  private Activation activation;
  private long count;
  private long key;
  private long stream;
  private int threshold;
  private long ids;
  private long table;
  private long first;
  private long order;
  private int heads;
  private int headWidth;

  SimdLayers(Workers workers) {
    this.workers = workers;
    norms = new SimdNorms(workers);
  }

  // Normalisation.

  @Override
  void doLayerNorm(
      int rows,
      int cols,
      float eps,
      Buffer x,
      long xStride,
      Buffer gamma,
      Buffer beta,
      Buffer y,
      long yStride,
      Buffer mean,
      Buffer rstd) {
    norms.forward(rows, cols, eps, x, xStride, gamma, beta, y, yStride, mean, rstd);
  }

  @Override
  void doLayerNormBackward(
      int rows,
      int cols,
      Buffer dy,
      Buffer x,
      Buffer gamma,
      Buffer mean,
      Buffer rstd,
      float dxBeta,
      Buffer dx,
      Buffer dgamma,
      Buffer dbeta) {
    norms.backward(rows, cols, dy, x, gamma, mean, rstd, dxBeta, dx, dgamma, dbeta);
  }

  @Override
  void doRmsNorm(
      int rows,
      int cols,
      float eps,
      Buffer x,
      long xStride,
      Buffer gamma,
      Buffer y,
      long yStride,
      Buffer rstd) {
    norms.forward(rows, cols, eps, x, xStride, gamma, null, y, yStride, null, rstd);
  }

  @Override
  void doRmsNormBackward(
      int rows,
      int cols,
      Buffer dy,
      Buffer x,
      Buffer gamma,
      Buffer rstd,
      float dxBeta,
      Buffer dx,
      Buffer dgamma) {
    norms.backward(rows, cols, dy, x, gamma, null, rstd, dxBeta, dx, dgamma, null);
  }

  // Activations.

  @Override
  void doActivation(Activation activation, long count, Buffer x, Buffer y) {
    this.activation = activation;
    this.count = count;
    this.x = x.segment().address();
    this.y = y.segment().address();
    workers.run(Simd.chunks(count, ELEMENTS), 16 * count, activationTask);
  }

  private void activationChunk(int chunk, int worker) {
    long from = (long) chunk * ELEMENTS;
    int elements = (int) Math.min(ELEMENTS, count - from);
    activate(activation, elements, x + from * 4, y + from * 4);
  }

  /** y = act(x) over {@code count} elements at two addresses, which may be the same. */
  static void activate(Activation activation, int count, long x, long y) {
    SimdActivations.forward(activation, count, x, y);
  }

  @Override
  void doActivationBackward(Activation activation, long count, Buffer x, Buffer dy, Buffer dx) {
    this.activation = activation;
    this.count = count;
    this.x = x.segment().address();
    this.dy = dy.segment().address();
    y = dx.segment().address();
    workers.run(Simd.chunks(count, ELEMENTS), 24 * count, activationBackwardTask);
  }

  private void activationBackwardChunk(int chunk, int worker) {
    long from = (long) chunk * ELEMENTS;
    int elements = (int) Math.min(ELEMENTS, count - from);
    long at = from * 4;
    SimdActivations.backward(activation, elements, x + at, dy + at, y + at);
  }

  @Override
  void doSwiglu(int rows, int cols, Buffer x, Buffer y) {
    this.rows = rows;
    this.cols = cols;
    this.x = x.segment().address();
    this.y = y.segment().address();
    workers.run(ceilDiv(rows, ROWS), 16L * rows * cols, swigluTask);
  }

  private void swigluRows(int task, int worker) {
    int end = Math.min(rows, (task + 1) * ROWS);
    for (int r = task * ROWS; r < end; r++) {
      long gate = x + 8L * r * cols;
      SimdActivations.gate(cols, gate, gate + 4L * cols, y + 4L * r * cols);
    }
  }

  @Override
  void doSwigluBackward(int rows, int cols, Buffer x, Buffer dy, Buffer dx) {
    this.rows = rows;
    this.cols = cols;
    this.x = x.segment().address();
    this.dy = dy.segment().address();
    y = dx.segment().address();
    workers.run(ceilDiv(rows, ROWS), 32L * rows * cols, swigluBackwardTask);
  }

  private void swigluBackwardRows(int task, int worker) {
    int end = Math.min(rows, (task + 1) * ROWS);
    for (int r = task * ROWS; r < end; r++) {
      long gate = 8L * r * cols;
      long up = gate + 4L * cols;
      SimdActivations.gateBackward(cols, x + gate, x + up, dy + 4L * r * cols, y + gate, y + up);
    }
  }

  // Rotary positions.

  @Override
  void doRotary(
      int rows,
      int heads,
      int headWidth,
      Buffer positions,
      int tableRows,
      Buffer angles,
      boolean inverse,
      Buffer x,
      long xStride) {
    Check.indices("rotary", "positions", positions, rows, 1, tableRows);
    this.rows = rows;
    this.heads = heads;
    this.headWidth = headWidth;
    ids = positions.segment().address();
    table = angles.segment().address();
    scale = inverse ? -1 : 1;
    this.x = x.segment().address();
    this.xStride = xStride * 4;
    workers.run(ceilDiv(rows, ROWS), 3L * rows * heads * headWidth, rotaryTask);
  }

  private void rotaryRows(int task, int worker) {
    int end = Math.min(rows, (task + 1) * ROWS);
    for (int r = task * ROWS; r < end; r++) {
      long turn = table + (long) getInt(ids + 4L * (r & INDEX)) * headWidth * 4;
      for (int h = 0; h < heads; h++) {
        rotate(headWidth / 2, x + r * xStride + 4L * h * headWidth, turn, scale);
      }
    }
  }

  /** Turns a head whose halves are {@code half} columns each. */
  private static void rotate(int half, long head, long turn, float sign) {
    int whole = F.loopBound(half);
    long left = head & ADDRESS;
    long right = (head + half * 4L) & ADDRESS;
    long cosines = turn & ADDRESS;
    long sines = (turn + half * 4L) & ADDRESS;
    FloatVector signs = FloatVector.broadcast(F, sign);
    for (int i = 0; i < whole; i += LANES) {
      long at = 4L * (i & INDEX);
      FloatVector cos = FloatVector.fromMemorySegment(F, MEMORY, cosines + at, ORDER);
      FloatVector sin = FloatVector.fromMemorySegment(F, MEMORY, sines + at, ORDER).mul(signs);
      FloatVector a = FloatVector.fromMemorySegment(F, MEMORY, left + at, ORDER);
      FloatVector b = FloatVector.fromMemorySegment(F, MEMORY, right + at, ORDER);
      a.mul(cos).sub(b.mul(sin)).intoMemorySegment(MEMORY, left + at, ORDER);
      a.mul(sin).add(b.mul(cos)).intoMemorySegment(MEMORY, right + at, ORDER);
    }
    for (int i = whole; i < half; i++) {
      long at = 4L * (i & INDEX);
      float cos = get(cosines + at);
      float sin = get(sines + at) * sign;
      float a = get(left + at);
      float b = get(right + at);
      set(left + at, a * cos - b * sin);
      set(right + at, a * sin + b * cos);
    }
  }

  // Dropout.

  @Override
  void doDropout(int rows, int cols, float p, long key, long stream, Buffer x, Buffer y) {
    this.rows = rows;
    this.cols = cols;
    this.key = key;
    this.stream = stream;
    this.x = x.segment().address();
    this.y = y.segment().address();
    threshold = Philox.keepThreshold(p);
    scale = (float) (1 / (1 - (double) p));
    workers.run(ceilDiv(rows, ROWS), 16L * rows * cols, dropoutTask);
  }

  private void dropoutRows(int task, int worker) {
    int from = task * ROWS;
    int count = Math.min(ROWS, rows - from);
    long first = (long) from * cols * 4;
    if (threshold == 0) {
      SimdActivations.forward(Activation.NONE, count * cols, x + first, y + first);
      return;
    }
    long bits = workers.own(worker).reserve(ROWS * SimdPhilox.BLOCK_BYTES);
    for (int c = 0; c < cols; c += SimdPhilox.BLOCK) {
      SimdPhilox.fill(key, stream, from, 1, count, c / SimdPhilox.BLOCK, bits);
      if (cols == SimdPhilox.BLOCK) {
        drop(count * cols, bits, x + first, y + first);
        return;
      }
      int width = Math.min(SimdPhilox.BLOCK, cols - c);
      for (int r = 0; r < count; r++) {
        long at = first + ((long) r * cols + c) * 4;
        drop(width, bits + r * SimdPhilox.BLOCK_BYTES, x + at, y + at);
      }
    }
  }

  private void drop(int count, long bits, long x, long y) {
    int whole = F.loopBound(count);
    long random = bits & ADDRESS;
    long from = x & ADDRESS;
    long to = y & ADDRESS;
    FloatVector zero = FloatVector.zero(F);
    FloatVector factor = FloatVector.broadcast(F, scale);
    IntVector least = IntVector.broadcast(I, threshold);
    for (int i = 0; i < whole; i += LANES) {
      long at = 4L * (i & INDEX);
      VectorMask<Integer> kept =
          IntVector.fromMemorySegment(I, MEMORY, random + at, ORDER)
              .compare(VectorOperators.UGE, least);
      FloatVector v = FloatVector.fromMemorySegment(F, MEMORY, from + at, ORDER).mul(factor);
      zero.blend(v, kept.cast(F)).intoMemorySegment(MEMORY, to + at, ORDER);
    }
    for (int i = whole; i < count; i++) {
      boolean kept = Integer.compareUnsigned(getInt(random + 4L * (i & INDEX)), threshold) >= 0;
      set(to + 4L * (i & INDEX), kept ? get(from + 4L * (i & INDEX)) * scale : 0);
    }
  }

  // Rows by id.

  @Override
  void doGather(
      int rows,
      int cols,
      Buffer ids,
      int tableRows,
      Buffer table,
      float scale,
      float beta,
      Buffer y) {
    Check.indices("gather", "ids", ids, rows, 1, tableRows);
    this.rows = rows;
    this.cols = cols;
    this.ids = ids.segment().address();
    this.table = table.segment().address();
    this.scale = scale;
    yBeta = beta;
    this.y = y.segment().address();
    workers.run(ceilDiv(rows, ROWS), 4L * rows * cols, gatherTask);
  }

  private void gatherRows(int task, int worker) {
    int cols = this.cols;
    long ids = this.ids & ADDRESS;
    int end = Math.min(rows, (task + 1) * ROWS);
    for (int r = task * ROWS; r < end; r++) {
      long from = table + 4L * getInt(ids + 4L * (r & INDEX)) * cols;
      long to = y + 4L * r * cols;
      if (yBeta == 0) {
        scaleRow(cols, from, scale, to);
      } else {
        mixRow(cols, from, scale, yBeta, to);
      }
    }
  }

  /** y = scale x. */
  static void scaleRow(int count, long x, float scale, long y) {
    int whole = F.loopBound(count);
    long from = x & ADDRESS;
    long to = y & ADDRESS;
    FloatVector factor = FloatVector.broadcast(F, scale);
    for (int i = 0; i < whole; i += LANES) {
      FloatVector.fromMemorySegment(F, MEMORY, from + 4L * (i & INDEX), ORDER)
          .mul(factor)
          .intoMemorySegment(MEMORY, to + 4L * (i & INDEX), ORDER);
    }
    for (int i = whole; i < count; i++) {
      set(to + 4L * (i & INDEX), get(from + 4L * (i & INDEX)) * scale);
    }
  }

  /** y = beta y + scale x. */
  static void mixRow(int count, long x, float scale, float beta, long y) {
    int whole = F.loopBound(count);
    long from = x & ADDRESS;
    long to = y & ADDRESS;
    FloatVector factor = FloatVector.broadcast(F, scale);
    FloatVector share = FloatVector.broadcast(F, beta);
    for (int i = 0; i < whole; i += LANES) {
      FloatVector v =
          FloatVector.fromMemorySegment(F, MEMORY, from + 4L * (i & INDEX), ORDER).mul(factor);
      FloatVector.fromMemorySegment(F, MEMORY, to + 4L * (i & INDEX), ORDER)
          .fma(share, v)
          .intoMemorySegment(MEMORY, to + 4L * (i & INDEX), ORDER);
    }
    for (int i = whole; i < count; i++) {
      set(
          to + 4L * (i & INDEX),
          Math.fma(get(to + 4L * (i & INDEX)), beta, get(from + 4L * (i & INDEX)) * scale));
    }
  }

  @Override
  void doScatterAdd(
      int rows, int cols, Buffer ids, Buffer x, float scale, int tableRows, Buffer table) {
    Check.indices("scatterAdd", "ids", ids, rows, 1, tableRows);
    if (rows == 0) {
      return;
    }
    this.rows = rows;
    this.cols = cols;
    this.ids = ids.segment().address();
    this.x = x.segment().address();
    this.scale = scale;
    this.table = table.segment().address();
    first = workers.shared().reserve((tableRows + 1L + rows) * 4);
    order = first + (tableRows + 1L) * 4;
    sortById(tableRows);
    workers.run(Math.min(PARTS, rows), 4L * rows * cols, scatterTask);
  }

  /** Sets order to the rows by id, those of one id ascending. */
  private void sortById(int tableRows) {
    int rows = this.rows;
    long ids = this.ids & ADDRESS;
    long first = this.first & ADDRESS;
    long order = this.order & ADDRESS;
    for (int id = 0; id <= tableRows; id++) {
      setInt(first + id * 4L, 0);
    }
    for (int r = 0; r < rows; r++) {
      long at = first + getInt(ids + 4L * (r & INDEX)) * 4L;
      setInt(at, getInt(at) + 1);
    }
    int total = 0;
    for (int id = 0; id <= tableRows; id++) {
      long at = first + id * 4L;
      total += getInt(at);
      setInt(at, total);
    }
    // Filling from the last row backwards keeps those of one id ascending.
    for (int r = rows - 1; r >= 0; r--) {
      long at = first + getInt(ids + 4L * (r & INDEX)) * 4L;
      int place = getInt(at) - 1;
      setInt(at, place);
      setInt(order + place * 4L, r);
    }
  }

  /** An equal part of the sorted rows; a part takes the ids that begin in it, whole. */
  private void scatterPart(int part, int worker) {
    int parts = Math.min(PARTS, rows);
    int from = (int) ((long) rows * part / parts);
    int to = (int) ((long) rows * (part + 1) / parts);
    int before = from == 0 ? -1 : idAt(from - 1);
    int last = before;
    for (int i = from; i < rows; i++) {
      int id = idAt(i);
      if (i >= to && id != last) {
        return;
      }
      last = id;
      if (id != before) {
        long row = x + 4L * getInt((order & ADDRESS) + 4L * (i & INDEX)) * cols;
        mixRow(cols, row, scale, 1, table + 4L * id * cols);
      }
    }
  }

  private int idAt(int place) {
    return getInt((ids & ADDRESS) + getInt((order & ADDRESS) + place * 4L) * 4L);
  }
}
