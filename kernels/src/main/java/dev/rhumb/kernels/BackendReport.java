package dev.rhumb.kernels;

/**
 * What a backend says of this machine.
 *
 * @param backend which
 * @param available whether it runs
 * @param detail what it would use, or why it does not run and what mends that
 */
public record BackendReport(Backend backend, boolean available, String detail) {}
