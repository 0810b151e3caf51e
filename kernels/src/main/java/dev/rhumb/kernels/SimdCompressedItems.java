package dev.rhumb.kernels;

/** A catalogue of the SIMD backend: its items in panels of bytes. */
final class SimdCompressedItems extends CompressedItems {
  /** The panels, or null where rows are too wide for them. */
  final BytePanels panels;

  SimdCompressedItems(int tableRows, int width, Buffer table) {
    super(tableRows, width, table);
    panels = BytePanels.takes(width) ? new BytePanels(tableRows, width, false) : null;
  }

  @Override
  void requireOpen() {
    super.requireOpen();
    if (panels != null) {
      panels.requireOpen();
    }
  }

  @Override
  public void close() {
    if (panels != null) {
      panels.close();
    }
  }
}
