package main

import (
	"context"
	"testing"
)

// For profiles: docs/performance.md says how.
func BenchmarkTraceInContext(b *testing.B) {
	rt := newTransport(stub{}, options(gateway))
	req := openaiRequest(tracedContext(context.Background()), provider)
	b.ReportAllocs()
	for b.Loop() {
		send(rt, req)
	}
}
