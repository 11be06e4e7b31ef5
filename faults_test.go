// This file simulates a gateway that fails in every way a TCP peer can: refused and
// reset connections, malformed HTTP, truncated and stalled responses, errors of a
// proxy, TLS failures, and a restart. 64 goroutines make 2000 concurrent calls. Each
// call has a script with one step for each of its attempts, derived from its number.
//
// The test asserts for each call that it ended with the status or error of its last
// step, after the expected number of attempts, each of which the gateway received
// once. The gateway's response echoes the trace ID, the metadata, the credential and
// a hash of the body, which shows that no value of another call was sent or received.
// At the end no request body, connection or goroutine may be left.

package portkey_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
)

const (
	scriptedCalls = 2000
	callers       = 64
	callTimeout   = 10 * time.Second
	stallTimeout  = 400 * time.Millisecond // of a call that meets a stall
)

// errorOutcomes names the errors with which a call may end. An error for malformed
// HTTP can only be recognized by its text.
var errorOutcomes = []struct {
	name    string
	matches func(error) bool
}{
	{"deadline", func(err error) bool {
		var netErr net.Error
		return errors.Is(err, context.DeadlineExceeded) && errors.As(err, &netErr) && netErr.Timeout()
	}},
	{"refused", func(err error) bool { return isOpError(err, syscall.ECONNREFUSED) }},
	{"reset", func(err error) bool { return isOpError(err, syscall.ECONNRESET) }},
	{"broken pipe", func(err error) bool { return isOpError(err, syscall.EPIPE) }},
	// net/http closes the connection if it reads the reset before its write fails.
	{"closed", func(err error) bool { return isOpError(err, net.ErrClosed) }},
	{"truncated", func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
	{"EOF", func(err error) bool { return errors.Is(err, io.EOF) }},
	{"certificate", func(err error) bool { return errors.As(err, new(*tls.CertificateVerificationError)) }},
	{"scheme mismatch", func(err error) bool { return errors.Is(err, http.ErrSchemeMismatch) }},
	{"malformed", func(err error) bool { return strings.Contains(err.Error(), "malformed HTTP") }},
}

func isOpError(err, target error) bool {
	return errors.Is(err, target) && errors.As(err, new(*net.OpError))
}

// A step is what happens to one attempt of a call.
type step struct {
	name      string
	outcomes  []string                               // how a call may end with this step: a status or an errorOutcome
	retryable bool                                   // RetryPolicy retries it
	respond   func(*exchange) (keepAlive bool)       // at the gateway; nil if the request does not reach it
	reroute   func(*scriptedBase, *url.URL)          // sends the attempt elsewhere than to the gateway
	waitFor   func(*scriptedGateway) <-chan struct{} // delays the attempt

	// ofGateway responses have the header of the gateway, the others are those of a
	// proxy in front of it.
	ofGateway bool
	// emptyBody responses are sent before the request body was read.
	emptyBody bool
	// noResponse makes net/http itself resend a GET if the connection was reused.
	noResponse bool
}

var (
	success = step{name: "success", outcomes: []string{"200"}, ofGateway: true, respond: sendResponse(200, "")}

	// retryableSteps can precede another step in the script of a call.
	retryableSteps = []step{
		{
			name: "refused", outcomes: []string{"refused"}, retryable: true,
			reroute: func(_ *scriptedBase, u *url.URL) { u.Host = "127.0.0.1:1" },
		},
		{
			name: "reset during the upload", outcomes: []string{"reset", "broken pipe", "closed"},
			retryable: true, noResponse: true, respond: resetConn,
		},
		{
			name: "reset before headers", outcomes: []string{"reset"},
			retryable: true, noResponse: true, respond: readBodyThen(resetConn),
		},
		{
			name: "closed before headers", outcomes: []string{"EOF"},
			retryable: true, noResponse: true, respond: readBodyThen(closeConn),
		},
		{
			name: "malformed response", outcomes: []string{"malformed"}, retryable: true,
			respond: readBodyThen(func(x *exchange) bool {
				io.WriteString(x, "\x00\xff\x17 220 this is not HTTP\r\n\r\n")
				return false
			}),
		},
	}

	otherSteps = []step{
		{name: "slow upload", outcomes: []string{"200"}, ofGateway: true, respond: func(x *exchange) bool {
			for range 10 {
				io.CopyN(x.bodyHash, x.req.Body, 20<<10)
				time.Sleep(time.Millisecond)
			}
			return sendResponse(200, "")(x)
		}},
		{
			name: "reset in mid-body", outcomes: []string{"reset"}, ofGateway: true,
			respond: sendHalfThen(false, resetConn),
		},
		{
			name: "reset in mid-stream", outcomes: []string{"reset"}, ofGateway: true,
			respond: sendHalfThen(true, resetConn),
		},
		{
			name: "truncated body", outcomes: []string{"truncated"}, ofGateway: true,
			respond: sendHalfThen(false, closeConn),
		},
		{
			name: "truncated chunk", outcomes: []string{"truncated"}, ofGateway: true,
			respond: sendHalfThen(true, closeConn),
		},
		{
			name: "stream without its last chunk", outcomes: []string{"truncated"}, ofGateway: true,
			respond: sendHalfThen(true, func(x *exchange) bool {
				io.WriteString(x, x.text[len(x.text)/2+1:]+"\r\n")
				return false
			}),
		},
		{name: "stalled headers", outcomes: []string{"deadline"}, respond: readBodyThen(stall)},
		{
			name: "stalled stream", outcomes: []string{"deadline"}, ofGateway: true,
			respond: sendHalfThen(true, stall),
		},
		{
			name: "429 of a proxy", outcomes: []string{"429"}, retryable: true,
			respond: sendResponse(429, "Retry-After: 3600\r\n"),
		},
		{name: "503 of a proxy", outcomes: []string{"503"}, retryable: true, respond: sendResponse(503, "")},
		{
			name: "429 of the gateway", outcomes: []string{"429"}, ofGateway: true,
			respond: sendResponse(429, "Retry-After: 3600\r\n"),
		},
		{name: "500 of the gateway", outcomes: []string{"500"}, ofGateway: true, respond: sendResponse(500, "")},
		{
			name: "503 during the upload", outcomes: []string{"503", "reset", "broken pipe", "closed"},
			retryable: true, emptyBody: true, respond: func(x *exchange) bool {
				x.writeHead(503, "Connection: close\r\nContent-Length: 0\r\n")
				return false
			},
		},
		{
			name: "untrusted certificate", outcomes: []string{"certificate"},
			reroute: func(b *scriptedBase, u *url.URL) { u.Scheme, u.Host = "https", b.untrustedServer },
		},
		{
			name: "no TLS", outcomes: []string{"scheme mismatch"},
			reroute: func(_ *scriptedBase, u *url.URL) { u.Scheme = "https" },
		},
	}

	allSteps = slices.Concat([]step{success}, retryableSteps, otherSteps)
)

// Steps of the calls during which the gateway restarts.
var (
	killed = step{
		name: "killed", outcomes: []string{"reset", "refused"}, retryable: true, noResponse: true,
		respond: readBodyThen(func(x *exchange) bool {
			select {
			case <-x.gateway.killed:
				return resetConn(x) // net/http resent a GET, which arrived after the restart
			default:
				x.gateway.waiting <- struct{}{}
				return stall(x)
			}
		}),
	}
	down = step{
		name: "down", outcomes: []string{"refused"}, retryable: true,
		waitFor: func(g *scriptedGateway) <-chan struct{} { return g.killed },
	}
	restarted = step{
		name: "restarted", outcomes: []string{"200"}, ofGateway: true, respond: sendResponse(200, ""),
		waitFor: func(g *scriptedGateway) <-chan struct{} { return g.restarted },
	}
)

// The following functions make the respond function of a step.

// sendResponse sends a whole response: with a Content-Length, or in chunks if the
// call asks for a stream.
func sendResponse(status int, header string) func(*exchange) bool {
	return readBodyThen(func(x *exchange) bool {
		if !x.call.stream {
			x.writeHead(status, fmt.Sprintf("%sContent-Length: %d\r\n", header, len(x.text)))
			io.WriteString(x, x.text)
			return true
		}
		x.writeHead(status, header+"Transfer-Encoding: chunked\r\n")
		for _, event := range strings.SplitAfter(x.text, "\n\n") { // the last one is empty, and so the last chunk
			fmt.Fprintf(x, "%x\r\n%s\r\n", len(event), event)
		}
		return true
	})
}

// sendHalfThen sends half of a response, waits until the caller has read some of
// it, sends one more byte and continues with then.
func sendHalfThen(chunked bool, then func(*exchange) bool) func(*exchange) bool {
	return readBodyThen(func(x *exchange) bool {
		half, rest := x.text[:len(x.text)/2], x.text[len(x.text)/2:]
		header, oneMore := fmt.Sprintf("Content-Length: %d\r\n", len(x.text)), rest[:1]
		if chunked {
			header, oneMore = "Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s", len(rest), rest[:1])
			half = fmt.Sprintf("%x\r\n%s\r\n", len(half), half)
		}
		x.writeHead(200, header)
		io.WriteString(x, half)
		select {
		case <-x.call.responseRead:
		case <-time.After(callTimeout):
		}
		io.WriteString(x, oneMore)
		return then(x)
	})
}

// readBodyThen reads the request body and continues with then.
func readBodyThen(then func(*exchange) bool) func(*exchange) bool {
	return func(x *exchange) bool {
		io.Copy(x.bodyHash, x.req.Body)
		x.text = echo(x.call.requestKind, x.req.Header, x.bodyHash)
		return then(x)
	}
}

func closeConn(*exchange) bool   { return false }
func resetConn(x *exchange) bool { x.SetLinger(0); return false }

// stall sends no more until the client closes the connection.
func stall(x *exchange) bool { io.Copy(io.Discard, x.in); return false }

// echo returns the gateway's response body: what it received of the call.
func echo(k requestKind, h http.Header, bodyHash hash.Hash) string {
	text := fmt.Sprintf("%q %q %q %q %x", h["X-Portkey-Trace-Id"], h["X-Portkey-Metadata"],
		h["X-Portkey-Cache-Namespace"], h["Authorization"], bodyHash.Sum(nil))
	if k.stream {
		return "data: " + strings.Join([]string{text, text, text, "[DONE]"}, "\n\ndata: ") + "\n\n"
	}
	return text
}

type requestKind struct {
	method, path string
	bodyRepeats  int // the body repeats the call's number this often; 0: no body
	stream       bool
}

var requestKinds = []requestKind{
	{"POST", "chat/completions", 1, false},
	{"POST", "chat/completions", 1, true},
	{"GET", "models", 0, false},
	{"POST", "audio/transcriptions", 12_500, false},
}

// A scriptedCall is a call with its script and its result.
type scriptedCall struct {
	requestKind
	number    int
	script    [4]*step // of the attempts
	noGetBody bool
	timeout   time.Duration
	header    http.Header // that the gateway should receive
	payload   string

	attempts     atomic.Int32
	arrivals     [4]atomic.Int32 // of each attempt at the gateway
	openBodies   atomic.Int32
	responseRead chan struct{} // closed once the caller has read some of the response

	status int
	text   string
	err    error
	info   portkey.ResponseInfo
}

// step returns the step of an attempt. The first attempt is 1. Attempts beyond the
// script repeat its last step.
func (c *scriptedCall) step(attempt int) *step { return c.script[min(attempt, len(c.script))-1] }

// wantAttempts returns how many attempts the call should take.
func (c *scriptedCall) wantAttempts(maxAttempts int) int {
	if c.noGetBody {
		maxAttempts = 1
	}
	for n := 1; ; n++ {
		if n == maxAttempts || !c.step(n).retryable {
			return n
		}
	}
}

// newScriptedCall returns call n. Half of the calls succeed. The others go through
// all steps in turn: once, twice in a row, three times in a row, and after another
// step that is retried.
func newScriptedCall(n int) *scriptedCall {
	c := &scriptedCall{
		requestKind:  requestKinds[n%len(requestKinds)],
		number:       n,
		script:       [4]*step{&success, &success, &success, &success},
		timeout:      callTimeout,
		responseRead: make(chan struct{}),
		header: http.Header{
			"X-Portkey-Trace-Id":        {fmt.Sprint("trace-", n)},
			"X-Portkey-Metadata":        {fmt.Sprintf(`{"call":"%d","suite":"faults"}`, n)},
			"X-Portkey-Cache-Namespace": {fmt.Sprint("namespace-", n)},
			"Authorization":             {fmt.Sprint("Bearer key-", n)},
		},
	}
	c.payload = strings.Repeat(fmt.Sprintf("{\"call\":%d}\r\n", n), c.bodyRepeats)
	turn := n / len(requestKinds)
	// The last calls succeed and so leave idle connections, which the test counts.
	if turn%2 == 0 || n >= scriptedCalls-callers {
		return c
	}
	turn /= 2
	s := &allSteps[turn%len(allSteps)]
	before := &retryableSteps[turn%len(retryableSteps)]
	c.script = [][4]*step{
		{s, &success, &success, &success},
		{s, s, &success, &success},
		{s, s, s, &success},
		{before, s, &success, &success},
	}[turn/len(allSteps)%4]
	c.noGetBody = c.bodyRepeats > 1 && turn%5 == 0
	if slices.Contains(s.outcomes, "deadline") {
		c.timeout = stallTimeout
	}
	return c
}

// newBody is the call's GetBody.
func (c *scriptedCall) newBody() (io.ReadCloser, error) {
	c.openBodies.Add(1)
	onClose := sync.OnceFunc(func() { c.openBodies.Add(-1) })
	return &scriptedBody{strings.NewReader(c.payload), onClose}, nil
}

type scriptedBody struct {
	io.Reader
	onClose func()
}

func (b *scriptedBody) Close() error { b.onClose(); return nil }

// A readObserver calls onRead after each Read.
type readObserver struct {
	r      io.Reader
	onRead func()
}

func (o readObserver) Read(p []byte) (int, error) {
	defer o.onRead()
	return o.r.Read(p)
}

type scriptedCallKey struct{}

// run makes the call as a user of the library would, and records its result.
func (c *scriptedCall) run(client *http.Client) {
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), scriptedCallKey{}, c), c.timeout)
	defer cancel()
	ctx = portkey.WithTrace(ctx, c.header.Get("X-Portkey-Trace-Id"))
	ctx = portkey.WithMetadata(ctx, portkey.Metadata{"call": fmt.Sprint(c.number)})
	ctx = portkey.WithHeaders(ctx, portkey.Headers{CacheNamespace: c.header.Get("X-Portkey-Cache-Namespace")})
	ctx = portkey.WithResponseInfo(ctx, &c.info)
	url := fmt.Sprintf("https://api.openai.com/v1/%s?call=%d", c.path, c.number)
	req, err := http.NewRequestWithContext(ctx, c.method, url, nil)
	if err != nil {
		panic(err)
	}
	req.Header["Authorization"] = c.header["Authorization"]
	if c.bodyRepeats > 0 {
		req.Body, _ = c.newBody()
		req.ContentLength = int64(len(c.payload))
		if c.number%3 == 2 {
			req.ContentLength = -1 // unknown
		}
		if !c.noGetBody {
			req.GetBody = c.newBody
		}
	}
	closeResponseRead := sync.OnceFunc(func() { close(c.responseRead) })
	defer closeResponseRead()
	resp, err := client.Do(req)
	if err != nil {
		c.err = err
		return
	}
	text, err := io.ReadAll(readObserver{resp.Body, closeResponseRead})
	resp.Body.Close()
	c.status, c.text, c.err = resp.StatusCode, string(text), err
}

// outcome returns the status or the errorOutcome with which the call ended.
func (c *scriptedCall) outcome() string {
	if c.err == nil {
		return strconv.Itoa(c.status)
	}
	for _, o := range errorOutcomes {
		if o.matches(c.err) {
			return o.name
		}
	}
	return "unclassified"
}

// A scriptedGateway serves HTTP on plain TCP connections, since a net/http server
// cannot send malformed or truncated responses.
type scriptedGateway struct {
	addr      string
	calls     []*scriptedCall
	waiting   chan struct{} // receives for each call that waits for the kill
	refused   chan struct{} // receives for each attempt that ended while the gateway was down
	killed    chan struct{} // closed when the gateway was killed
	restarted chan struct{} // closed when it listens again

	mu       sync.Mutex
	listener net.Listener
	conns    map[*net.TCPConn]bool
	accepted int
}

// listen starts the gateway. A restart uses the same port.
func (g *scriptedGateway) listen(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", g.addr)
	// Another process may have taken the port for a moment.
	for until := time.Now().Add(callTimeout); err != nil && time.Now().Before(until); l, err = net.Listen("tcp", g.addr) {
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.addr, g.listener = l.Addr().String(), l
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			g.mu.Lock()
			if g.listener == l {
				g.conns[c.(*net.TCPConn)] = true
				g.accepted++
				go g.serve(c.(*net.TCPConn))
			} else { // killed since Accept returned
				c.Close()
			}
			g.mu.Unlock()
		}
	}()
}

// kill stops listening and resets all connections.
func (g *scriptedGateway) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listener.Close()
	g.listener = nil
	for c := range g.conns {
		c.SetLinger(0)
		c.Close()
	}
}

func (g *scriptedGateway) openConns() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.conns)
}

// An exchange is a request that the gateway received, and its connection.
type exchange struct {
	*net.TCPConn
	in       *bufio.Reader
	req      *http.Request
	bodyHash hash.Hash
	text     string // the response body
	gateway  *scriptedGateway
	call     *scriptedCall
	step     *step
}

func (g *scriptedGateway) serve(c *net.TCPConn) {
	defer func() {
		c.Close()
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.conns, c)
	}()
	in := bufio.NewReader(c)
	for {
		c.SetDeadline(time.Now().Add(2 * callTimeout))
		const tlsHandshake = 0x16
		if first, err := in.Peek(1); err == nil && first[0] == tlsHandshake {
			in.Discard(in.Buffered())
			io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n")
			return
		}
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		n, _ := strconv.Atoi(req.URL.Query().Get("call"))
		call := g.calls[n]
		attempt := int(call.attempts.Load())
		call.arrivals[min(attempt, len(call.arrivals))-1].Add(1)
		x := &exchange{
			TCPConn: c, in: in, req: req, bodyHash: sha256.New(),
			gateway: g, call: call, step: call.step(attempt),
		}
		if x.step.respond == nil || !x.step.respond(x) {
			return
		}
	}
}

func (x *exchange) writeHead(status int, header string) {
	if x.step.ofGateway {
		header += "X-Portkey-Trace-Id: " + x.req.Header.Get("X-Portkey-Trace-Id") + "\r\n"
	}
	fmt.Fprintf(x, "HTTP/1.1 %d %s\r\n%s\r\n", status, http.StatusText(status), header)
}

// A scriptedBase is the base RoundTripper. It counts the attempts of each call and
// runs the part of their steps that does not reach the gateway.
type scriptedBase struct {
	*http.Transport
	gateway         *scriptedGateway
	untrustedServer string // address of a server whose certificate is not trusted
}

func (b *scriptedBase) RoundTrip(req *http.Request) (*http.Response, error) {
	c := req.Context().Value(scriptedCallKey{}).(*scriptedCall)
	s := c.step(int(c.attempts.Add(1)))
	out, u := *req, *req.URL
	out.URL = &u
	if s.reroute != nil {
		s.reroute(b, &u)
	}
	if s.waitFor != nil {
		select {
		case <-s.waitFor(b.gateway):
		case <-req.Context().Done(): // the http.Transport returns its error
		}
	}
	resp, err := b.Transport.RoundTrip(&out)
	if s.name == down.name {
		b.gateway.refused <- struct{}{}
	}
	return resp, err
}

// Neither the test nor its subtests are parallel: they count goroutines.
func TestFailedCallsDoNotAffectOtherCalls(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has other error numbers for a broken connection, and retries a refused one for two seconds")
	}
	t.Run("without retries", func(t *testing.T) {
		testScriptedCalls(t, 1, func(b *scriptedBase) http.RoundTripper { return b })
	})
	t.Run("with retries", func(t *testing.T) {
		testScriptedCalls(t, 3, func(b *scriptedBase) http.RoundTripper { return newRetryTransport(b) })
	})
}

// testScriptedCalls makes all calls through a Transport over wrapBase's result, which
// makes up to maxAttempts attempts.
func testScriptedCalls(t *testing.T, maxAttempts int, wrapBase func(*scriptedBase) http.RoundTripper) {
	start, goroutines := time.Now(), runtime.NumGoroutine()
	g := &scriptedGateway{
		addr:      "127.0.0.1:0",
		conns:     make(map[*net.TCPConn]bool),
		waiting:   make(chan struct{}, scriptedCalls),
		refused:   make(chan struct{}, scriptedCalls),
		killed:    make(chan struct{}),
		restarted: make(chan struct{}),
	}
	for n := range scriptedCalls {
		g.calls = append(g.calls, newScriptedCall(n))
	}
	// When the gateway is killed, half of the callers wait for its response, and the
	// other half are about to send a request.
	before, rest := g.calls[:scriptedCalls/2], g.calls[scriptedCalls/2:]
	during, after := rest[:callers], rest[callers:]
	wantWaiting, wantRefused := callers/2, 0
	for i, c := range during {
		c.script = [4]*step{&down, &restarted, &restarted, &restarted}
		if i < wantWaiting {
			c.script = [4]*step{&killed, &down, &restarted, &restarted}
		}
		c.noGetBody, c.timeout = false, callTimeout
		for n := range c.wantAttempts(maxAttempts) {
			if c.step(n+1).name == down.name {
				wantRefused++
			}
		}
	}

	g.listen(t)
	tlsServer := newTLSServer(t, nil)
	base := &scriptedBase{
		Transport:       &http.Transport{MaxIdleConnsPerHost: callers},
		gateway:         g,
		untrustedServer: tlsServer.Listener.Addr().String(),
	}
	client := &http.Client{Transport: newTransport(t, wrapBase(base), portkey.Options{
		BaseURL: "http://" + g.addr + "/v1",
		Headers: portkey.Headers{Metadata: portkey.Metadata{"suite": "faults", "call": "none"}},
	})}

	receive(t, startCalls(client, before), "the calls before the restart")
	done := startCalls(client, during)
	for range wantWaiting {
		receive(t, g.waiting, "a call that waits for its response")
	}
	g.kill()
	close(g.killed)
	for range wantRefused {
		receive(t, g.refused, "an attempt while the gateway is down")
	}
	g.listen(t)
	close(g.restarted)
	receive(t, done, "the calls during the restart")
	receive(t, startCalls(client, after), "the calls after the restart")
	elapsed := time.Since(start)

	checkNoneLeft(t, "open request bodies", func() (n int) {
		for _, c := range g.calls {
			n += int(c.openBodies.Load())
		}
		return n
	})
	client.CloseIdleConnections()
	checkNoneLeft(t, "connections", g.openConns)
	g.kill()
	tlsServer.Close()
	checkNoneLeft(t, "goroutines", func() int { return runtime.NumGoroutine() - goroutines })
	checkScriptedCalls(t, g.calls, maxAttempts)
	t.Logf("%d calls from %d goroutines in %v, over %d connections",
		len(g.calls), callers, elapsed.Round(time.Millisecond), g.accepted)
}

// startCalls makes the calls in order from concurrent callers. The channel is closed
// when all calls have ended.
func startCalls(client *http.Client, calls []*scriptedCall) <-chan struct{} {
	var next atomic.Int32
	var wg sync.WaitGroup
	for range callers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := int(next.Add(1)); i <= len(calls); i = int(next.Add(1)) {
				calls[i-1].run(client)
			}
		}()
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	return done
}

// checkScriptedCalls compares each call with its script and logs how often each step
// and outcome occurred.
func checkScriptedCalls(t *testing.T, calls []*scriptedCall, maxAttempts int) {
	failures, steps, outcomes := map[string]int{}, map[string]int{}, map[string]int{}
	var attempts, wantSuccesses, successes int
	for _, c := range calls {
		check := func(ok bool, property, format string, args ...any) {
			if ok {
				return
			}
			if failures[property]++; failures[property] <= 3 {
				t.Errorf("call %d: %s: "+format, append([]any{c.number, property}, args...)...)
			}
		}
		n, want := int(c.attempts.Load()), c.wantAttempts(maxAttempts)
		last, outcome := c.step(want), c.outcome()
		// On a slow machine the short timeout of a call may end it before its stall.
		early := c.timeout == stallTimeout &&
			(outcome == "deadline" || n > 0 && n < want && slices.Contains(c.step(n).outcomes, outcome))
		check(early || slices.Contains(last.outcomes, outcome),
			"outcome", "got %s, %v, want one of %q after %s", outcome, c.err, last.outcomes, last.name)
		check(n == want || early && n < want, "attempts", "got %d, want %d, the last one %s", n, want, last.name)

		sum := sha256.New()
		io.WriteString(sum, c.payload)
		wantText := echo(c.requestKind, c.header, sum)
		if last.emptyBody {
			wantText = ""
		}
		check(c.text == wantText || c.err != nil && strings.HasPrefix(wantText, c.text),
			"response", "got %q, want %q", c.text, wantText)
		wantTraceID := ""
		if c.status != 0 && last.ofGateway {
			wantTraceID = c.header.Get("X-Portkey-Trace-Id")
		}
		check(c.info.TraceID == wantTraceID, "ResponseInfo", "got trace ID %q, want %q", c.info.TraceID, wantTraceID)

		for i := range c.arrivals {
			s, got := c.step(i+1), c.arrivals[i].Load()
			if i >= want || s.respond == nil {
				check(got == 0, "arrivals", "got attempt %d %d times, want 0", i+1, got)
			} else {
				resentByNetHTTP := got > 1 && s.noResponse && c.method == "GET"
				check(got == 1 || got == 0 && early || resentByNetHTTP,
					"arrivals", "got attempt %d %d times, want 1: %s", i+1, got, s.name)
			}
		}
		for i := range n {
			steps[c.step(i+1).name]++
		}
		outcomes[outcome]++
		attempts += n
		if slices.Contains(last.outcomes, "200") {
			wantSuccesses++
			if outcome == "200" {
				successes++
			}
		}
	}
	for property, n := range failures {
		t.Errorf("%s: wrong for %d calls", property, n)
	}
	t.Logf("%d attempts; %d of %d calls that could succeed succeeded", attempts, successes, wantSuccesses)
	t.Logf("steps: %v", steps)
	t.Logf("outcomes: %v", outcomes)
}
