package main

import (
	"context"
	"testing"
)

// BenchmarkTraceInContext is for profiles: docs/performance.md shows the command.
func BenchmarkTraceInContext(b *testing.B) {
	rt := newTransport(stub{}, options(gateway))
	req := openAIRequest(portkeyContext(context.Background()), provider)
	b.ReportAllocs()
	for b.Loop() {
		send(rt, req)
	}
}
