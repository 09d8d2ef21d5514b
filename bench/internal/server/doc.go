// Package server has servers that the program empty runs, and so imports their libraries
// and package worker, and nothing else.
package server
