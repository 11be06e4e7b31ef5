package interop

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	"golang.org/x/oauth2"
)

// Each example combines the Transport with other middleware in the intended order,
// against an in-process gateway.

// ask makes a chat completion at OpenAI, and returns the status.
func ask(ctx context.Context, c *http.Client) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.openai.com/v1/chat/completions",
		strings.NewReader(`{"model":"m1","messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func newTransport(base http.RoundTripper, opts portkey.Options) *portkey.Transport {
	t, err := portkey.NewTransport(base, opts)
	if err != nil {
		log.Fatal(err)
	}
	return t
}

// otelhttp outside the Transport: the traceparent header that it writes becomes
// Portkey's trace ID, and its span the parent.
func Example_otelhttpOutside() {
	gw := portkeytest.Start()
	defer gw.Close()
	tracer := trace.NewTracerProvider()

	c := &http.Client{Transport: otelhttp.NewTransport(
		newTransport(nil, portkey.Options{BaseURL: gw.URL()}),
		otelhttp.WithTracerProvider(tracer), otelhttp.WithPropagators(propagation.TraceContext{}),
	)}
	ctx, span := tracer.Tracer("example").Start(context.Background(), "checkout")
	ask(ctx, c)
	span.End()

	got := gw.Requests()[0]
	fmt.Println("same trace:", got.TraceID() == span.SpanContext().TraceID().String())
	fmt.Println("traceparent names it:", strings.Contains(got.Header.Get("Traceparent"), got.TraceID()))
	fmt.Println("has a parent span:", got.Header.Get("X-Portkey-Parent-Span-Id") != "")
	// Output:
	// same trace: true
	// traceparent names it: true
	// has a parent span: true
}

// otelhttp inside the Transport writes its header after the Transport has looked
// for one. Set NewTraceID to take the trace ID from the span in the context.
func Example_otelhttpInside() {
	gw := portkeytest.Start()
	defer gw.Close()
	tracer := trace.NewTracerProvider()

	c := &http.Client{Transport: newTransport(
		otelhttp.NewTransport(nil, otelhttp.WithTracerProvider(tracer), otelhttp.WithPropagators(propagation.TraceContext{})),
		portkey.Options{BaseURL: gw.URL(), NewTraceID: func(ctx context.Context) string {
			return oteltrace.SpanContextFromContext(ctx).TraceID().String()
		}},
	)}
	ctx, span := tracer.Tracer("example").Start(context.Background(), "checkout")
	ask(ctx, c)
	span.End()

	got := gw.Requests()[0]
	fmt.Println("same trace:", got.TraceID() == span.SpanContext().TraceID().String())
	fmt.Println("traceparent names it:", strings.Contains(got.Header.Get("Traceparent"), got.TraceID()))
	// Output:
	// same trace: true
	// traceparent names it: true
}

// oauth2 outside the Transport: its token is the provider's credential.
func Example_oauth2() {
	gw := portkeytest.Start()
	defer gw.Close()

	c := &http.Client{Transport: &oauth2.Transport{
		Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token"}),
		Base:   newTransport(nil, portkey.Options{BaseURL: gw.URL()}),
	}}
	ask(context.Background(), c)

	got := gw.Requests()[0]
	fmt.Println(got.Provider(), "gets", got.Header.Get("Authorization"))
	// Output: openai gets Bearer token
}

// An existing retryablehttp client uses the Transport for each attempt. Each attempt is a
// separate call, so the trace ID is set in the context.
func Example_retryablehttpClient() {
	gw := portkeytest.Start()
	defer gw.Close()
	attempts := 0
	flaky := roundTripper(func(r *http.Request) (*http.Response, error) {
		if attempts++; attempts < 3 {
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: http.NoBody, Request: r}, nil
		}
		return http.DefaultTransport.RoundTrip(r)
	})

	rc := retryablehttp.NewClient()
	rc.RetryWaitMin, rc.RetryWaitMax, rc.Logger = time.Millisecond, time.Millisecond, nil
	rc.HTTPClient.Transport = newTransport(flaky, portkey.Options{BaseURL: gw.URL()})
	ctx, id := portkey.WithNewTrace(context.Background())
	status := ask(ctx, rc.StandardClient())

	fmt.Println(status, "after", attempts, "attempts of one trace:", gw.Requests()[0].TraceID() == id)
	// Output: 200 after 3 attempts of one trace: true
}

// An http.Client keeps its cookie jar. The jar sees the URL that the client requested, so
// the gateway's cookies are stored for the provider.
func Example_cookieJar() {
	gw := portkeytest.Start()
	defer gw.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	jar.SetCookies(&url.URL{Scheme: "https", Host: "api.openai.com"}, []*http.Cookie{{Name: "session", Value: "s1"}})

	c, err := portkey.WrapClient(&http.Client{Jar: jar, Timeout: time.Minute}, portkey.Options{BaseURL: gw.URL()})
	if err != nil {
		log.Fatal(err)
	}
	ask(context.Background(), c)

	fmt.Println(gw.Requests()[0].Header.Get("Cookie"), c.Timeout)
	// Output: session=s1 1m0s
}

// A WebSocket client that takes an http.Client upgrades through the Transport.
func Example_webSocket() {
	gw := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		kind, said, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		conn.Write(r.Context(), kind, []byte(r.URL.RequestURI()+" "+r.Header.Get("X-Portkey-Provider")+" heard "+string(said)))
	}))
	defer gw.Close()

	c, err := portkey.WrapClient(nil, portkey.Options{BaseURL: gw.URL + "/v1"})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "wss://api.openai.com/v1/realtime?model=m1", &websocket.DialOptions{HTTPClient: c})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		log.Fatal(err)
	}
	_, answer, err := conn.Read(ctx)
	fmt.Println(string(answer), err)
	// Output: /v1/realtime?model=m1 openai heard hello <nil>
}

// A WebSocket dialer that takes headers and no http.Client calls the gateway directly.
func Example_webSocketHeaders() {
	gw := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		conn.Write(r.Context(), websocket.MessageText, []byte(r.Header.Get("X-Portkey-Provider")+" "+r.Header.Get("X-Portkey-Trace-Id")))
	}))
	defer gw.Close()

	header, err := portkey.Headers{APIKey: "pk-...", Provider: "@openai-prod", TraceID: "call-1"}.HTTPHeader()
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // with the headers, at the gateway
	conn, _, err := websocket.Dial(ctx, gw.URL+"/v1/realtime?model=m1", &websocket.DialOptions{
		HTTPHeader: header, HTTPClient: &http.Client{CheckRedirect: stay},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.CloseNow()
	_, answer, err := conn.Read(ctx)
	fmt.Println(string(answer), err)
	// Output: @openai-prod call-1 <nil>
}

// An exporter of OpenTelemetry takes a map of headers. At Portkey, the endpoint is
// https://api.portkey.ai/v1/otel/v1/traces.
func Example_otlpExporter() {
	received := make(chan string, 1)
	gw := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received <- r.URL.Path + " " + r.Header.Get("X-Portkey-Api-Key")
	}))
	defer gw.Close()

	header, err := portkey.Headers{APIKey: "pk-..."}.HTTPHeader()
	if err != nil {
		log.Fatal(err)
	}
	headers := make(map[string]string)
	for name := range header {
		headers[name] = header.Get(name)
	}
	exporter, err := otlptracehttp.New(context.Background(),
		otlptracehttp.WithEndpointURL(gw.URL+"/v1/otel/v1/traces"), otlptracehttp.WithHeaders(headers))
	if err != nil {
		log.Fatal(err)
	}
	tracer := trace.NewTracerProvider(trace.WithBatcher(exporter))
	_, span := tracer.Tracer("example").Start(context.Background(), "checkout")
	span.End()
	if err := tracer.Shutdown(context.Background()); err != nil { // sends the span
		log.Fatal(err)
	}
	fmt.Println(<-received)
	// Output: /v1/otel/v1/traces pk-...
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
