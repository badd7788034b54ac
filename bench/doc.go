// Package bench measures lookerauth beside what a program would use instead, on the same work and
// in one run. It consists of benchmarks, and of tests that each contestant does the work. README.md
// says how to run and read them.
package bench
