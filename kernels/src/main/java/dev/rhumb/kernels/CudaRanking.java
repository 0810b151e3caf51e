package dev.rhumb.kernels;

import dev.rhumb.bindings.rhumb.Rhumb;

/** {@link Ranking} on the GPU. */
final class CudaRanking extends Ranking {
  private final CudaQueue cuda;

  CudaRanking(CudaQueue cuda) {
    this.cuda = cuda;
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
    cuda.begin();
    cuda.blame(Rhumb.RHUMB_FAULT_TOP_ITEMS_NAN(), "topItems", 0);
    cuda.blame(
        Rhumb.RHUMB_FAULT_TOP_ITEMS_OFFSET(), "topItems", excluded == null ? 0 : excluded.count());
    long bytes = Rhumb.rhumb_top_items_scratch(rows, width, tableRows, k);
    cuda.check(
        Rhumb.rhumb_top_items(
            rows,
            width,
            tableRows,
            cuda.at(h),
            hStride,
            cuda.at(table),
            k,
            cuda.at(excludedOffsets),
            cuda.at(excluded),
            excluded == null ? 0 : excluded.count(),
            cuda.at(items),
            cuda.at(scores),
            cuda.scratch(bytes),
            bytes,
            cuda.faults(),
            cuda.stream()));
  }
}
