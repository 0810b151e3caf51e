/** JMH benchmarks: the workloads of {@code dev.rhumb.bench.speed}, for profilers. */
package dev.rhumb.bench.jmh;
