/**
 * The peers that the engine is held against, each as a library of {@code dev.rhumb.bench.speed}.
 */
package dev.rhumb.bench.peers;
