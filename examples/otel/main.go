// Command otel uses the same trace ID in OpenTelemetry and Portkey. otelhttp is around the
// Transport, which takes the trace ID and the parent span from the traceparent header that
// otelhttp adds.
//
//	go -C examples/otel run .
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	openai "github.com/sashabaranov/go-openai"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	var opts portkey.Options
	if os.Getenv("PORTKEY_API_KEY") == "" && os.Getenv("PORTKEY_BASE_URL") == "" {
		gateway := portkeytest.Start() // without a key: a gateway inside this program
		defer gateway.Close()
		opts.BaseURL = gateway.URL()
	}
	provider := trace.NewTracerProvider() // yours has an exporter
	defer provider.Shutdown(ctx)

	transport, err := portkey.NewTransport(nil, opts)
	if err != nil {
		return err
	}
	cfg := openai.DefaultConfig(os.Getenv("OPENAI_API_KEY"))
	cfg.HTTPClient = &http.Client{Transport: otelhttp.NewTransport(transport,
		otelhttp.WithTracerProvider(provider), otelhttp.WithPropagators(propagation.TraceContext{}))}
	client := openai.NewClientWithConfig(cfg)

	ctx, span := provider.Tracer("example").Start(ctx, "checkout")
	defer span.End()
	var info portkey.ResponseInfo
	answer, err := client.CreateChatCompletion(portkey.WithResponseInfo(ctx, &info), openai.ChatCompletionRequest{
		Model:    openai.GPT4oMini,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: "Say this is a test"}},
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, answer.Choices[0].Message.Content)
	fmt.Fprintf(out, "the span's trace is Portkey's: %t\n", info.TraceID == span.SpanContext().TraceID().String())
	return nil
}
