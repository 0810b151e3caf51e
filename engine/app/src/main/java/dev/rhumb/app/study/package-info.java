/** Studies a trained model and writes the report. */
package dev.rhumb.app.study;
