package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/portkey-go/portkey"
)

// measureContexts measures the functions that build the context of a call.
func measureContexts(rounds int, block time.Duration) []goal {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ctx := context.Background()
	config := portkey.Headers{Config: fiveTargets()}
	span := portkey.Headers{SpanName: "summarise"}
	configured := portkey.WithHeaders(ctx, config)
	transport := newTransport(stub{}, options(gateway))
	request := openAIRequest(ctx, provider)
	withBoth := request.WithContext(portkey.WithHeaders(configured, span))

	const (
		configName = "WithHeaders, ConfigObject of five targets"
		nextName   = "- WithHeaders over it, span name"
	)
	results := measure(rounds, block,
		loop("WithTrace", func() { portkey.WithTrace(ctx, traceID) }),
		loop("WithMetadata, four keys", func() { portkey.WithMetadata(ctx, metadata) }),
		loop("WithHeaders, span name", func() { portkey.WithHeaders(ctx, span) }),
		loop(configName, func() { portkey.WithHeaders(ctx, config) }),
		loop(nextName, func() { portkey.WithHeaders(configured, span) }),
		loop("- a round trip with that context", func() { send(transport, withBoth) }),
		// Includes any work that WithHeaders defers to the round trip.
		loop("- both built for the call, and the round trip", func() {
			send(transport, request.WithContext(portkey.WithHeaders(portkey.WithHeaders(ctx, config), span)))
		}),
	)
	var rows []string
	for _, r := range results {
		rows = append(rows, row(r.name, decimals(microseconds(median(r.ns))), integer(r.allocs), integer(r.bytes)))
	}
	printTable("The context of a call", []string{"", "µs/op", "allocs/op", "B/op"}, rows...)

	withConfig, next := median(find(results, configName).ns), median(find(results, nextName).ns)
	return []goal{
		atMost(70, "µs, WithHeaders with a ConfigObject of five targets", microseconds(withConfig)),
		atMost(3, "µs, the next WithHeaders over that context", microseconds(next)),
	}
}

// fiveTargets returns a config with a cache and a fallback to five targets.
func fiveTargets() portkey.ConfigObject {
	config := portkey.ConfigObject{
		Strategy: &portkey.Strategy{Mode: portkey.ModeFallback, OnStatusCodes: []int{429, 500, 503}},
		Cache:    &portkey.Cache{Mode: portkey.CacheSimple, MaxAge: 3600},
	}
	for i := range 5 {
		config.Targets = append(config.Targets, portkey.ConfigObject{
			Provider:       "openai",
			APIKey:         fmt.Sprintf("sk-bench-%d", i),
			OverrideParams: map[string]any{"model": "gpt-4o-mini", "max_tokens": 1024, "temperature": 0.2},
			Retry:          &portkey.Retry{Attempts: 3, OnStatusCodes: []int{429, 503}},
		})
	}
	return config
}
