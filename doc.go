// Package lookerauth logs in to Looker.
package lookerauth
