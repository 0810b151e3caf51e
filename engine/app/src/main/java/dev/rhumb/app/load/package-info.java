/** Finds interaction logs and makes datasets of them. */
package dev.rhumb.app.load;
