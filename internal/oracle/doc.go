// Package oracle holds Assay against independent implementations. It is a module of its own, so that users of the
// product inherit none of them. Each difference is listed with the reason why ours is right; a difference without a
// reason fails the test.
package oracle
