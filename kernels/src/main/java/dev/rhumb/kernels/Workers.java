package dev.rhumb.kernels;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;

/**
 * The threads that share the work of one call: the caller, which is worker 0, and {@code threads -
 * 1} daemons that sleep between calls; and their scratch memory. A call allocates nothing.
 *
 * <p>Task t of a call runs on worker {@code t % threads}, in ascending order there. Which worker
 * runs a task must not show in a result: it only chooses the scratch memory.
 *
 * <p>Threads: one caller at a time, and no call from within a task.
 */
final class Workers implements AutoCloseable {
  /**
   * One call's work. An implementation that lives as long as its owner keeps calls free of garbage.
   */
  interface Task {
    void run(int task, int worker);
  }

  /** How often a thread looks again before it sleeps: some tens of microseconds. */
  private static final int SPINS = 1 << 10;

  /** Floating-point operations, about, that take longer than waking a thread. */
  private static final long WORTH_WAKING = 1 << 19;

  private final Scratch shared = new Scratch();
  private final Scratch[] own;
  private final Helper[] helpers;
  private final AtomicInteger running = new AtomicInteger();
  private volatile boolean callerSleeps;
  private volatile boolean closed;
  private Thread caller;
  private Task task;
  private int tasks;

  // The caller's own failure, as each helper keeps its own.
  private Throwable failure;
  private int failedTask;

  Workers(int threads) {
    if (threads < 1) {
      throw new IllegalArgumentException("threads = " + threads + ", but at least 1 is needed");
    }
    own = new Scratch[threads];
    for (int i = 0; i < threads; i++) {
      own[i] = new Scratch();
    }
    helpers = new Helper[threads - 1];
    for (int i = 0; i < helpers.length; i++) {
      helpers[i] = new Helper(i + 1);
      helpers[i].start();
    }
  }

  int threads() {
    return helpers.length + 1;
  }

  /** Scratch memory of a whole call, for the caller to reserve before it runs tasks. */
  Scratch shared() {
    return shared;
  }

  /** Scratch memory of one worker, for its tasks to reserve. */
  Scratch own(int worker) {
    return own[worker];
  }

  /**
   * Runs tasks 0 to {@code tasks - 1} and returns when all have ended. A worker whose task throws
   * drops the rest of its own; of what was thrown, that of the lowest task reaches the caller.
   */
  void run(int tasks, Task task) {
    if (closed) {
      throw new IllegalStateException("these kernels are closed");
    }
    int helping = Math.min(helpers.length, tasks - 1);
    if (helping <= 0) {
      for (int t = 0; t < tasks; t++) {
        apart(task, t, 0);
      }
      return;
    }
    this.task = task;
    this.tasks = tasks;
    caller = Thread.currentThread();
    running.set(helping);
    for (int i = 0; i < helping; i++) {
      helpers[i].wake();
    }
    failure = null;
    int t = 0;
    try {
      for (; t < tasks; t += helpers.length + 1) {
        apart(task, t, 0);
      }
    } catch (Throwable e) {
      failure = e;
      failedTask = t;
    }
    await();
    this.task = null;
    raise(helping);
  }

  /** {@link #run(int, Task)}, on the caller alone where the work is not worth waking anybody. */
  void run(int tasks, long operations, Task task) {
    if (operations >= WORTH_WAKING) {
      run(tasks, task);
    } else {
      for (int t = 0; t < tasks; t++) {
        apart(task, t, 0);
      }
    }
  }

  /**
   * Runs a task here and now. All tasks come through this one call, so the compiler cannot tell
   * which it will be, and makes each a unit of its own. Steps of a task run through it too where
   * together they would be too large a unit to keep vectors out of objects ({@link Simd}).
   */
  static void apart(Task task, int number, int worker) {
    task.run(number, worker);
  }

  private void await() {
    for (int spin = 0; spin < SPINS; spin++) {
      if (running.get() == 0) {
        return;
      }
      Thread.onSpinWait();
    }
    callerSleeps = true;
    while (running.get() != 0) {
      LockSupport.park(this);
    }
    callerSleeps = false;
  }

  private void raise(int helping) {
    Throwable first = failure;
    int at = failedTask;
    failure = null;
    for (int i = 0; i < helping; i++) {
      Helper helper = helpers[i];
      if (helper.failure != null && (first == null || helper.failedTask < at)) {
        first = helper.failure;
        at = helper.failedTask;
      }
      helper.failure = null;
    }
    if (first instanceof Error error) {
      throw error;
    }
    if (first != null) {
      throw (RuntimeException) first; // A task can throw nothing else.
    }
  }

  /** Ends the threads and frees the scratch memory. Closing twice is harmless. */
  @Override
  public void close() {
    closed = true;
    shared.close();
    for (Scratch scratch : own) {
      scratch.close();
    }
    for (Helper helper : helpers) {
      LockSupport.unpark(helper);
    }
  }

  private final class Helper extends Thread {
    private final int worker;
    private volatile boolean called;
    private volatile boolean sleeps;
    private Throwable failure;
    private int failedTask;

    Helper(int worker) {
      super("rhumb-worker-" + worker);
      this.worker = worker;
      setDaemon(true);
    }

    void wake() {
      called = true;
      // Either this sees that the helper sleeps, or the helper sees the call before it does.
      if (sleeps) {
        LockSupport.unpark(this);
      }
    }

    @Override
    public void run() {
      while (awaitCall()) {
        called = false;
        int t = worker;
        try {
          for (; t < tasks; t += helpers.length + 1) {
            apart(task, t, worker);
          }
        } catch (Throwable e) {
          failure = e;
          failedTask = t;
        }
        if (running.decrementAndGet() == 0 && callerSleeps) {
          LockSupport.unpark(caller);
        }
      }
    }

    private boolean awaitCall() {
      for (int spin = 0; spin < SPINS; spin++) {
        if (called) {
          return true;
        }
        Thread.onSpinWait();
      }
      sleeps = true;
      while (!called && !closed) {
        LockSupport.park(Workers.this);
      }
      sleeps = false;
      return called;
    }
  }
}
