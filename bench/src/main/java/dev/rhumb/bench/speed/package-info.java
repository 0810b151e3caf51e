/**
 * How fast the engine is, beside its peers and the machine's own limits: the pieces of work, who
 * does them, and the runner that holds them against each other.
 */
package dev.rhumb.bench.speed;
