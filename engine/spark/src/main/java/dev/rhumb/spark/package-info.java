/** The engine's batch jobs over a cluster, on Apache Spark. */
package dev.rhumb.spark;
