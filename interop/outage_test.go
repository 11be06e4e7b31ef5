package interop

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	openaigo "github.com/openai/openai-go/v3"
	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/interop/internal/realgateway"
	openai "github.com/sashabaranov/go-openai"
)

// An outageProvider stands for OpenAI and Anthropic. It answers slowly enough for calls to be
// in progress when the gateway ends, and counts the calls by the ID in their prompts.
type outageProvider struct {
	*httptest.Server
	mu       sync.Mutex
	arrivals map[string]int
	faults   []string // headers that should not have arrived
}

var callID = regexp.MustCompile(`call-\d+`)

func newOutageProvider(t *testing.T) *outageProvider {
	t.Helper()
	p := &outageProvider{arrivals: make(map[string]int)}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *outageProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway was killed while it sent the request
	}
	id := string(callID.Find(body))
	p.mu.Lock()
	p.arrivals[id]++
	for key := range r.Header {
		if strings.HasPrefix(strings.ToLower(key), "x-portkey-") {
			p.faults = append(p.faults, id+" has the header "+key)
		}
	}
	if key := cmp.Or(r.Header.Get("X-Api-Key"), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")); key != clientKey {
		p.faults = append(p.faults, id+" does not have the client's credential")
	}
	p.mu.Unlock()

	var params struct{ Stream bool }
	json.Unmarshal(body, &params)
	isAnthropic := strings.HasSuffix(r.URL.Path, "/messages")
	time.Sleep(10 * time.Millisecond)
	if !params.Stream {
		format := `{"id":"c1","object":"chat.completion","model":"m1","choices":[{"index":0,"message":{"role":"assistant","content":"%s end"},"finish_reason":"stop"}]}`
		if isAnthropic {
			format = `{"id":"msg_1","type":"message","role":"assistant","model":"m1","content":[{"type":"text","text":"%s end"}],"stop_reason":"end_turn"}`
		}
		reply(http.StatusOK, fmt.Sprintf(format, id))(w, r)
		return
	}
	d, last := openAIDialect, openAIChat.last
	if isAnthropic {
		d, last = anthropicDialect, anthropicAnswer.last
	}
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, d.begin)
	for _, piece := range []string{id, " and", " end"} {
		io.WriteString(w, d.event(piece))
		w.(http.Flusher).Flush()
		time.Sleep(10 * time.Millisecond)
	}
	io.WriteString(w, last)
}

// goOpenAIChatSDK makes a call without a stream.
var goOpenAIChatSDK = sdk{"go-openai, no stream", func(ctx context.Context, c *http.Client, model, prompt string) (string, error) {
	cfg := openai.DefaultConfig(clientKey)
	cfg.HTTPClient = c
	resp, err := openai.NewClientWithConfig(cfg).CreateChatCompletion(ctx, openai.ChatCompletionRequest{Model: model,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: prompt}}})
	if err != nil {
		return "", err
	}
	return resp.Choices[0].Message.Content, nil
}}

// outageSDKs make a call with a prompt and return the answer.
var outageSDKs = []sdk{
	goOpenAISDK,
	openAIGoSDK,
	anthropicStreams,
	goOpenAIChatSDK,
	{"openai-go, no stream", func(ctx context.Context, c *http.Client, model, prompt string) (string, error) {
		client := responsesClient(c)
		resp, err := client.Chat.Completions.New(ctx, openaigo.ChatCompletionNewParams{Model: model,
			Messages: []openaigo.ChatCompletionMessageParamUnion{openaigo.UserMessage(prompt)}})
		if err != nil {
			return "", err
		}
		return resp.Choices[0].Message.Content, nil
	}},
	{"anthropic-sdk-go, no stream", func(ctx context.Context, c *http.Client, model, prompt string) (string, error) {
		client := newAnthropic(c)
		resp, err := client.Messages.New(ctx, anthropic.MessageNewParams{Model: anthropic.Model(model), MaxTokens: 16,
			Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(prompt))}})
		if err != nil {
			return "", err
		}
		return resp.Content[0].Text, nil
	}},
}

// A withSpanID adds an x-portkey-* header to each request, as programs do that used the
// gateway before this library.
type withSpanID struct{ http.RoundTripper }

func (w withSpanID) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("x-portkey-span-id", "outage")
	return w.RoundTripper.RoundTrip(req)
}

// An outageCall is a call and what became of it.
type outageCall struct {
	id, sdk string
	text    string
	err     error
	info    portkey.ResponseInfo

	connected, written atomic.Bool // a connection to the gateway was used; the request's header was written to it
}

// The gateway is killed and started again under load, several times.
func TestOutageWithFailOpen(t *testing.T) {
	outages := 3
	if isFull {
		outages = 20
	}
	direct, relayed := newOutageProvider(t), newOutageProvider(t) // the same provider, without and with the gateway
	realgateway.URL(t)                                            // skips the test without Node.js
	var log realgateway.Log
	start := func(port int) *realgateway.Process {
		var err error
		for range 3 { // for a moment, a connection may use the port
			var p *realgateway.Process
			if p, err = realgateway.Start(&log, port, "LOOPBACK_PROVIDER="+relayed.URL); err == nil {
				return p
			}
		}
		t.Fatalf("the gateway did not start: %v\n%s", err, &log)
		return nil
	}
	process := start(0)
	defer func() { process.Stop() }()
	u, err := url.Parse(process.URL)
	if err != nil {
		t.Fatal(err)
	}
	gatewayAddr := u.Host
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}

	dialer := &net.Dialer{Timeout: time.Second}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != gatewayAddr {
			addr = direct.Listener.Addr().String()
		}
		return dialer.DialContext(ctx, network, addr)
	}
	// The provider has no TLS, so its connections are not encrypted.
	base := &http.Transport{DialContext: dial, DialTLSContext: dial, MaxIdleConnsPerHost: 64}
	defer base.CloseIdleConnections()
	var asked atomic.Int64
	transport, err := portkey.NewTransport(base, portkey.Options{BaseURL: process.URL, StrictStreams: true,
		FailOpen: func(*http.Request, error) bool { asked.Add(1); return true }})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: withSpanID{transport}}

	var mu sync.Mutex
	var calls []*outageCall
	var viaGateway, failedOpen, number atomic.Int64
	over, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	callOnce := func() {
		n := number.Add(1)
		sdk := outageSDKs[n%int64(len(outageSDKs))]
		call := &outageCall{id: fmt.Sprintf("call-%06d", n), sdk: sdk.name}
		ctx := httptrace.WithClientTrace(bounded(t), &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) {
				if info.Conn.RemoteAddr().String() == gatewayAddr {
					call.connected.Store(true)
				}
			},
			WroteHeaders: func() { call.written.Store(call.connected.Load()) },
		})
		call.text, call.err = sdk.ask(portkey.WithResponseInfo(ctx, &call.info), client, "m1", call.id)
		mu.Lock()
		calls = append(calls, call)
		mu.Unlock()
		switch {
		case call.info.FailedOpen:
			failedOpen.Add(1)
		case call.err == nil:
			viaGateway.Add(1)
		}
	}
	var load sync.WaitGroup
	done := make(chan struct{})
	stopLoad := sync.OnceFunc(func() {
		close(done)
		load.Wait()
	})
	defer stopLoad()
	for range 64 {
		load.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(20 * time.Millisecond): // others use this machine as well
					callOnce()
				}
			}
		})
	}
	waitFor := func(counter *atomic.Int64, more int64) {
		for want := counter.Load() + more; counter.Load() < want; time.Sleep(time.Millisecond) {
			if over.Err() != nil {
				t.Errorf("the load stopped: %d calls through the gateway, %d failed open", viaGateway.Load(), failedOpen.Load())
				return
			}
		}
	}
	for i := range outages {
		waitFor(&viaGateway, 150)
		if i%2 == 0 {
			process.Kill()
		} else {
			process.Terminate()
		}
		waitFor(&failedOpen, 150)
		process = start(port)
	}
	waitFor(&viaGateway, 150)
	stopLoad()

	direct.Close() // waits for its handlers
	relayed.Close()
	outcomes := make(map[string]int)
	for _, call := range calls {
		outcome, problem := call.judge(direct.arrivals[call.id], relayed.arrivals[call.id])
		outcomes[outcome]++
		if problem != "" {
			t.Errorf("%s by %s, %s: %s (answer %q, error %v)", call.id, call.sdk, outcome, problem, call.text, call.err)
		}
	}
	for _, fault := range append(direct.faults, relayed.faults...) {
		t.Error(fault)
	}
	if n := int64(len(direct.arrivals)); n != asked.Load() || n != failedOpen.Load() {
		t.Errorf("%d calls at the provider; FailOpen was asked %d times, and %d calls report that they failed open", n, asked.Load(), failedOpen.Load())
	}
	table := fmt.Sprintf("64 goroutines made %d calls, and the gateway was killed or terminated %d times:", len(calls), outages)
	for _, outcome := range slices.Sorted(maps.Keys(outcomes)) {
		table += fmt.Sprintf("\n%6d %s", outcomes[outcome], outcome)
	}
	t.Log(table)
}

// judge returns what became of a call, by what the connections and both providers saw, and
// what is wrong about it.
func (c *outageCall) judge(direct, relayed int) (outcome, problem string) {
	switch {
	case direct+relayed > 1:
		return "sent twice", fmt.Sprintf("arrived %d times at the provider, and %d times through the gateway", direct, relayed)
	case c.err == nil && c.text != c.id+" end" && c.text != c.id+" and end":
		return "answered in part", "got no error, want the whole answer or an error"
	case !c.connected.Load():
		if c.err != nil || !c.info.FailedOpen || direct != 1 {
			problem = "got no answer of the provider"
		}
		return "answered by the provider: there was no connection to the gateway", problem
	case direct > 0 || c.info.FailedOpen:
		return "failed open", "there was a connection to the gateway"
	case c.err == nil:
		if relayed != 1 {
			problem = "the gateway did not call the provider"
		}
		return "answered through the gateway", problem
	case !c.written.Load():
		return "failed: the connection broke before the request was written", ""
	case relayed == 0:
		return "failed: written to the gateway, and had not arrived at the provider", ""
	case errors.Is(c.err, io.ErrUnexpectedEOF):
		return "failed: the provider was called, and its answer broke off", ""
	}
	return "failed: the provider was called, and its answer was lost", ""
}

// See docs/outages.md about load balancers in front of the gateway.
func TestGatewayIsHealthyAndClosesIdleConnections(t *testing.T) {
	t.Parallel()
	resp, err := http.Get(withoutVersion(realgateway.URL(t)) + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	check(t, "status", resp.StatusCode, http.StatusOK)
	check(t, "time after which it closes idle connections", resp.Header.Get("Keep-Alive"), "timeout=5")
}

// A name may have several addresses: net.Dialer tries them in turn, so a gateway that refuses
// connections costs nothing, also for calls that cannot fail open.
func TestGatewaysBehindOneName(t *testing.T) {
	t.Parallel()
	gateway, err := url.Parse(realgateway.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	nameServer := newNameServer(t, net.IPv4(127, 0, 0, 2), net.IPv4(127, 0, 0, 1)) // the gateway listens on the second
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", nameServer)
	}}
	var mu sync.Mutex
	tried := make(map[string]int)
	dialer := &net.Dialer{Timeout: 5 * time.Second, Resolver: resolver, Control: func(_, address string, _ syscall.RawConn) error {
		mu.Lock()
		defer mu.Unlock()
		tried[address]++
		return nil
	}}
	base := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}
	client, err := portkey.WrapClient(&http.Client{Transport: base}, portkey.Options{
		BaseURL:  "http://gateway.example:" + gateway.Port() + "/v1",
		FailOpen: func(*http.Request, error) bool { t.Error("FailOpen was called"); return false }})
	if err != nil {
		t.Fatal(err)
	}
	u := newUpstream(t, nil)
	for range 3 {
		ctx := portkey.WithHeaders(bounded(t), portkey.Headers{CustomHost: u.URL + "/v1"})
		if text, err := goOpenAIChatSDK.ask(ctx, client, "m1", "hi"); err != nil || text != "hello" {
			t.Errorf("got %q, %v, want the answer", text, err)
		}
	}
	check(t, "connections tried to the first address", tried["127.0.0.2:"+gateway.Port()], 3)
	check(t, "connections tried to the second address", tried["127.0.0.1:"+gateway.Port()], 3)
}

// newNameServer starts a name server that knows the addresses of every name, and returns its
// address.
func newNameServer(t *testing.T, addresses ...net.IP) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		query := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			conn.WriteTo(dnsResponse(query[:n], addresses), from)
		}
	}()
	return conn.LocalAddr().String()
}

// dnsResponse returns the response to a query (RFC 1035, section 4).
func dnsResponse(query []byte, addresses []net.IP) []byte {
	const header, typeA = 12, 1
	end := header + bytes.IndexByte(query[header:], 0) + 5 // the name, its type and class
	if query[end-3] != typeA {
		addresses = nil
	}
	response := []byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, byte(len(addresses)), 0, 0, 0, 0}
	response = append(response, query[header:end]...)
	for _, ip := range addresses {
		response = append(response, 0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 0, 0, 4) // the query's name, type, class, TTL, length
		response = append(response, ip.To4()...)
	}
	return response
}
