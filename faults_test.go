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
	faultCalls   = 2000
	faultWorkers = 64
	faultTime    = 10 * time.Second       // of a call, and of whatever waits for one
	stallTime    = 400 * time.Millisecond // of a call that meets a stall
)

// failures are the ends of a call but a whole answer, and how its caller tells
// them. The last has no type: its text is what there is to go by.
var failures = []struct {
	name string
	is   func(error) bool
}{
	{"deadline", func(err error) bool {
		var timeout net.Error
		return errors.Is(err, context.DeadlineExceeded) && errors.As(err, &timeout) && timeout.Timeout()
	}},
	{"refused", func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) && errors.As(err, new(*net.OpError)) }},
	{"reset", func(err error) bool { return errors.Is(err, syscall.ECONNRESET) && errors.As(err, new(*net.OpError)) }},
	{"pipe", func(err error) bool { return errors.Is(err, syscall.EPIPE) && errors.As(err, new(*net.OpError)) }},
	{"closed", func(err error) bool { return errors.Is(err, net.ErrClosed) && errors.As(err, new(*net.OpError)) }}, // by net/http, which read of the reset before its write did
	{"truncated", func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
	{"EOF", func(err error) bool { return errors.Is(err, io.EOF) }},
	{"certificate", func(err error) bool { return errors.As(err, new(*tls.CertificateVerificationError)) }},
	{"scheme", func(err error) bool { return errors.Is(err, http.ErrSchemeMismatch) }},
	{"garbage", func(err error) bool { return strings.Contains(err.Error(), "malformed HTTP") }},
}

// A fault is what happens to one attempt of a call.
type fault struct {
	name  string
	ends  string                              // how a call may end by it: failures, or a status
	again bool                                // RetryPolicy has it tried again
	serve func(*exchange) bool                // what the gateway does; false: the connection is over
	lead  func(*wire, *url.URL)               // elsewhere than to the gateway
	when  func(*faultGateway) <-chan struct{} // the attempt waits for it

	marked  bool // the response has begun, and is the gateway's own
	unread  bool // an answer to a body that was not read: it is empty
	dropped bool // not a byte of response: net/http itself sends a GET again, if the connection was used before
}

// The first is none.
var faults = []fault{
	{name: "none", ends: "200", marked: true, serve: whole(200, "")},
	{name: "slow upload", ends: "200", marked: true, serve: func(x *exchange) bool {
		for range 10 {
			io.CopyN(x.sum, x.req.Body, 20<<10)
			time.Sleep(time.Millisecond)
		}
		return whole(200, "")(x)
	}},
	{name: "refused", ends: "refused", again: true, lead: func(w *wire, u *url.URL) { u.Host = "127.0.0.1:1" }},
	{name: "reset during the upload", ends: "reset pipe closed", again: true, dropped: true, serve: reset},
	{name: "reset before headers", ends: "reset", again: true, dropped: true, serve: read(reset)},
	{name: "closed before headers", ends: "EOF", again: true, dropped: true, serve: read(closed)},
	{name: "garbage", ends: "garbage", again: true, serve: read(func(x *exchange) bool {
		io.WriteString(x, "\x00\xff\x17 220 this is not HTTP\r\n\r\n")
		return false
	})},
	{name: "reset in mid-body", ends: "reset", marked: true, serve: cut(false, reset)},
	{name: "reset in mid-stream", ends: "reset", marked: true, serve: cut(true, reset)},
	{name: "truncated body", ends: "truncated", marked: true, serve: cut(false, closed)},
	{name: "truncated chunk", ends: "truncated", marked: true, serve: cut(true, closed)},
	{name: "stream without its end", ends: "truncated", marked: true, serve: cut(true, func(x *exchange) bool {
		io.WriteString(x, x.text[len(x.text)/2+1:]+"\r\n")
		return false
	})},
	{name: "stalled headers", ends: "deadline", serve: read(stall)},
	{name: "stalled stream", ends: "deadline", marked: true, serve: cut(true, stall)},
	{name: "429 of a proxy", ends: "429", again: true, serve: whole(429, "Retry-After: 3600\r\n")},
	{name: "503 of a proxy", ends: "503", again: true, serve: whole(503, "")},
	{name: "429 of the gateway", ends: "429", marked: true, serve: whole(429, "Retry-After: 3600\r\n")},
	{name: "500 of the gateway", ends: "500", marked: true, serve: whole(500, "")},
	{name: "503 during the upload", ends: "503 reset pipe closed", again: true, unread: true, serve: func(x *exchange) bool {
		x.head(503, "Connection: close\r\nContent-Length: 0\r\n")
		return false
	}},
	{name: "untrusted certificate", ends: "certificate", lead: func(w *wire, u *url.URL) { u.Scheme, u.Host = "https", w.untrusted }},
	{name: "no TLS", ends: "scheme", lead: func(w *wire, u *url.URL) { u.Scheme = "https" }},
}

// What a restart of the gateway does.
var (
	killed = fault{name: "killed", ends: "reset refused", again: true, dropped: true, serve: read(func(x *exchange) bool {
		select {
		case <-x.gateway.killed:
			return reset(x) // net/http sent it again by itself, and so late that the gateway was back
		default:
			x.gateway.held <- struct{}{}
			return stall(x)
		}
	})}
	down = fault{name: "down", ends: "refused", again: true, when: func(g *faultGateway) <-chan struct{} { return g.killed }}
	up   = fault{name: "up again", ends: "200", marked: true, serve: whole(200, ""),
		when: func(g *faultGateway) <-chan struct{} { return g.restarted }}
)

// whole answers, with a length or as a stream.
func whole(status int, header string) func(*exchange) bool {
	return read(func(x *exchange) bool {
		if !x.call.stream {
			x.head(status, fmt.Sprintf("%sContent-Length: %d\r\n", header, len(x.text)))
			io.WriteString(x, x.text)
			return true
		}
		x.head(status, header+"Transfer-Encoding: chunked\r\n")
		for _, event := range strings.SplitAfter(x.text, "\n\n") { // the last one is empty, and the end
			fmt.Fprintf(x, "%x\r\n%s\r\n", len(event), event)
		}
		return true
	})
}

// cut sends half of an answer, and one byte more as soon as the caller has read
// of it, and goes on with then.
func cut(chunked bool, then func(*exchange) bool) func(*exchange) bool {
	return read(func(x *exchange) bool {
		first, rest := x.text[:len(x.text)/2], x.text[len(x.text)/2:]
		header, more := fmt.Sprintf("Content-Length: %d\r\n", len(x.text)), rest[:1]
		if chunked {
			header, more = "Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s", len(rest), rest[:1])
			first = fmt.Sprintf("%x\r\n%s\r\n", len(first), first)
		}
		x.head(200, header)
		io.WriteString(x, first)
		select {
		case <-x.call.begun:
		case <-time.After(faultTime):
		}
		io.WriteString(x, more)
		return then(x)
	})
}

// read reads the body, and goes on with then.
func read(then func(*exchange) bool) func(*exchange) bool {
	return func(x *exchange) bool {
		io.Copy(x.sum, x.req.Body)
		x.text = answer(x.call.kind, x.req.Header, x.sum)
		return then(x)
	}
}

func closed(*exchange) bool  { return false }
func reset(x *exchange) bool { x.SetLinger(0); return false }
func stall(x *exchange) bool { io.Copy(io.Discard, x.in); return false } // until the client closes

// answer is what the gateway says to a call: what it has seen of it.
func answer(k kind, h http.Header, body hash.Hash) string {
	text := fmt.Sprintf("%q %q %q %q %x", h["X-Portkey-Trace-Id"], h["X-Portkey-Metadata"],
		h["X-Portkey-Cache-Namespace"], h["Authorization"], body.Sum(nil))
	if k.stream {
		return "data: " + strings.Join([]string{text, text, text, "[DONE]"}, "\n\ndata: ") + "\n\n"
	}
	return text
}

// A kind is what a call is to its caller.
type kind struct {
	method, path string
	markers      int // that the body consists of
	stream       bool
}

var kinds = []kind{
	{"POST", "chat/completions", 1, false},
	{"POST", "chat/completions", 1, true},
	{"GET", "models", 0, false},
	{"POST", "audio/transcriptions", 12_500, false},
}

// A faultCall is one call, and what became of it.
type faultCall struct {
	kind
	number   int
	script   [4]*fault // what its attempts meet
	once     bool      // its body cannot be opened again
	deadline time.Duration
	header   http.Header // what tells it from others at the gateway
	payload  string

	attempts atomic.Int32
	seen     [4]atomic.Int32 // by the gateway, attempt by attempt
	open     atomic.Int32    // request bodies
	begun    chan struct{}   // the caller has read of the answer

	status int
	text   string
	err    error
	info   portkey.ResponseInfo
}

func (c *faultCall) step(attempt int) *fault { return c.script[min(attempt, len(c.script))-1] }

// last returns which attempt should be the last, if there may be max.
func (c *faultCall) last(max int) int {
	if c.once {
		max = 1
	}
	for n := 1; ; n++ {
		if n == max || !c.step(n).again {
			return n
		}
	}
}

// newFaultCall returns call n. All that it meets follows from its number: one in
// two meets no fault, the others one of each in turn, once, twice, three times, or
// after another one.
func newFaultCall(n int) *faultCall {
	c := &faultCall{kind: kinds[n%len(kinds)], number: n, deadline: faultTime, begun: make(chan struct{})}
	c.header = http.Header{
		"X-Portkey-Trace-Id":        {fmt.Sprint("trace-", n)},
		"X-Portkey-Metadata":        {fmt.Sprintf(`{"call":"%d","suite":"faults"}`, n)},
		"X-Portkey-Cache-Namespace": {fmt.Sprint("namespace-", n)},
		"Authorization":             {fmt.Sprint("Bearer key-", n)},
	}
	c.payload = strings.Repeat(fmt.Sprintf("{\"call\":%d}\r\n", n), c.markers)
	none := &faults[0]
	c.script = [4]*fault{none, none, none, none}
	turn := n / len(kinds)
	if turn%2 == 0 || n >= faultCalls-faultWorkers { // and the last: they leave connections behind
		return c
	}
	turn /= 2
	f := &faults[turn%len(faults)]
	other := &faults[2+turn%5] // one of those that are tried again
	c.script = [][4]*fault{
		{f, none, none, none}, {f, f, none, none}, {f, f, f, none}, {other, f, none, none},
	}[turn/len(faults)%4]
	c.once = c.markers > 1 && turn%5 == 0
	if f.ends == "deadline" {
		c.deadline = stallTime
	}
	return c
}

func (c *faultCall) newBody() (io.ReadCloser, error) {
	c.open.Add(1)
	closed := sync.OnceFunc(func() { c.open.Add(-1) })
	return struct {
		io.Reader
		io.Closer
	}{strings.NewReader(c.payload), closerFunc(func() error { closed(); return nil })}, nil
}

type faultCallKey struct{}

// run makes the call, as the caller of an LLM would.
func (c *faultCall) run(client *http.Client) {
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), faultCallKey{}, c), c.deadline)
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
	if c.markers > 0 {
		req.Body, _ = c.newBody()
		req.ContentLength = []int64{int64(len(c.payload)), -1}[c.number%3/2] // at times unknown
	}
	if c.markers > 0 && !c.once {
		req.GetBody = c.newBody
	}
	begun := sync.OnceFunc(func() { close(c.begun) })
	defer begun()
	resp, err := client.Do(req)
	if c.err = err; err == nil {
		var text []byte
		text, c.err = io.ReadAll(readerFunc(func(p []byte) (int, error) {
			n, err := resp.Body.Read(p)
			begun()
			return n, err
		}))
		resp.Body.Close()
		c.status, c.text = resp.StatusCode, string(text)
	}
}

// outcome returns how the call ended.
func (c *faultCall) outcome() string {
	if c.err == nil {
		return strconv.Itoa(c.status)
	}
	for _, f := range failures {
		if f.is(c.err) {
			return f.name
		}
	}
	return "unclassified"
}

// A faultGateway is a server by hand: net/http's would not go so wrong.
type faultGateway struct {
	addr      string
	calls     []*faultCall
	held      chan struct{} // one for each call that is to be killed
	failed    chan struct{} // one for each attempt that found it down
	killed    chan struct{}
	restarted chan struct{}

	mu       sync.Mutex
	listener net.Listener
	conns    map[*net.TCPConn]bool
	accepted int
}

// listen starts the gateway, and again on the port that it had.
func (g *faultGateway) listen(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", g.addr)
	for until := time.Now().Add(faultTime); err != nil && time.Now().Before(until); l, err = net.Listen("tcp", g.addr) {
		time.Sleep(time.Millisecond) // somebody else has the port
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
			if g.listener == l { // not killed since
				g.conns[c.(*net.TCPConn)] = true
				g.accepted++
				go g.serve(c.(*net.TCPConn))
			} else {
				c.Close()
			}
			g.mu.Unlock()
		}
	}()
}

func (g *faultGateway) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listener.Close()
	g.listener = nil
	for c := range g.conns {
		c.SetLinger(0)
		c.Close()
	}
}

func (g *faultGateway) open() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.conns)
}

// An exchange is a request at the gateway, and its connection.
type exchange struct {
	*net.TCPConn
	in      *bufio.Reader
	req     *http.Request
	sum     hash.Hash // of the body
	text    string    // to answer
	gateway *faultGateway
	call    *faultCall
	fault   *fault
}

func (g *faultGateway) serve(c *net.TCPConn) {
	defer func() {
		c.Close()
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.conns, c)
	}()
	for in := bufio.NewReader(c); ; {
		c.SetDeadline(time.Now().Add(2 * faultTime))
		if first, err := in.Peek(1); err == nil && first[0] == 0x16 { // TLS
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
		call.seen[min(attempt, len(call.seen))-1].Add(1)
		x := &exchange{c, in, req, sha256.New(), "", g, call, call.step(attempt)}
		if x.fault.serve == nil || !x.fault.serve(x) {
			return
		}
	}
}

func (x *exchange) head(status int, header string) {
	if x.fault.marked {
		header += "X-Portkey-Trace-Id: " + x.req.Header.Get("X-Portkey-Trace-Id") + "\r\n"
	}
	fmt.Fprintf(x, "HTTP/1.1 %d %s\r\n%s\r\n", status, http.StatusText(status), header)
}

// A wire is the base. It counts the attempts of each call, and leads each to where
// its fault is.
type wire struct {
	*http.Transport
	gateway   *faultGateway
	untrusted string // the address of a server
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	c := req.Context().Value(faultCallKey{}).(*faultCall)
	f := c.step(int(c.attempts.Add(1)))
	out, u := *req, *req.URL
	out.URL = &u
	if f.lead != nil {
		f.lead(w, &u)
	}
	if f.when != nil {
		select {
		case <-f.when(w.gateway):
		case <-req.Context().Done(): // for net/http to report
		}
	}
	resp, err := w.Transport.RoundTrip(&out)
	if f.name == down.name {
		w.gateway.failed <- struct{}{}
	}
	return resp, err
}

func TestFaults(t *testing.T) { // not parallel, and nor are its parts: they count goroutines
	t.Run("Transport", func(t *testing.T) {
		testFaults(t, 1, func(w *wire) http.RoundTripper { return w })
	})
	t.Run("Transport over a retrying base", func(t *testing.T) {
		testFaults(t, 3, func(w *wire) http.RoundTripper { return newRetryTransport(w) })
	})
}

// testFaults makes all calls, each with at most max attempts, through a Transport
// over what over makes of the wire.
func testFaults(t *testing.T, max int, over func(*wire) http.RoundTripper) {
	began, goroutines := time.Now(), runtime.NumGoroutine()
	g := &faultGateway{addr: "127.0.0.1:0", conns: map[*net.TCPConn]bool{},
		held: make(chan struct{}, faultCalls), failed: make(chan struct{}, faultCalls),
		killed: make(chan struct{}), restarted: make(chan struct{})}
	for n := range faultCalls {
		g.calls = append(g.calls, newFaultCall(n))
	}
	// When the gateway is killed, each worker has a call: half of them are waiting
	// for an answer, and half are about to be sent.
	before, during, after := g.calls[:faultCalls/2], g.calls[faultCalls/2:][:faultWorkers], g.calls[faultCalls/2+faultWorkers:]
	held, failed := faultWorkers/2, 0
	for i, c := range during {
		c.script, c.once, c.deadline = [][4]*fault{{&killed, &down, &up, &up}, {&down, &up, &up, &up}}[i/held], false, faultTime
		for n := range c.last(max) {
			if c.step(n+1).name == down.name {
				failed++
			}
		}
	}

	g.listen(t)
	tlsServer := newTLSServer(t, nil)
	w := &wire{&http.Transport{MaxIdleConnsPerHost: faultWorkers}, g, tlsServer.Listener.Addr().String()}
	client := &http.Client{Transport: newTransport(t, over(w), portkey.Options{BaseURL: "http://" + g.addr + "/v1",
		Headers: portkey.Headers{Metadata: portkey.Metadata{"suite": "faults", "call": "none"}}})}

	receive(t, runAll(client, before), "calls before the restart")
	done := runAll(client, during)
	for range held {
		receive(t, g.held, "a call that waits for its answer")
	}
	g.kill()
	close(g.killed)
	for range failed {
		receive(t, g.failed, "an attempt while the gateway is down")
	}
	g.listen(t)
	close(g.restarted)
	receive(t, done, "calls during the restart")
	receive(t, runAll(client, after), "calls after the restart")
	took := time.Since(began)

	checkNoneLeft(t, "open request bodies", func() (n int) {
		for _, c := range g.calls {
			n += int(c.open.Load())
		}
		return n
	})
	client.CloseIdleConnections()
	checkNoneLeft(t, "connections", g.open)
	g.kill()
	tlsServer.Close()
	checkNoneLeft(t, "goroutines", func() int { return runtime.NumGoroutine() - goroutines })
	checkCalls(t, g.calls, max)
	t.Logf("%d calls from %d goroutines in %v, over %d connections", len(g.calls), faultWorkers, took.Round(time.Millisecond), g.accepted)
}

// runAll makes the calls from faultWorkers goroutines, in their order.
func runAll(client *http.Client, calls []*faultCall) <-chan struct{} {
	var next atomic.Int32
	var wg sync.WaitGroup
	for range faultWorkers {
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

// checkCalls checks each call against its script, and shows the figures.
func checkCalls(t *testing.T, calls []*faultCall, max int) {
	wrong, met, ended := map[string]int{}, map[string]int{}, map[string]int{}
	var attempts, could, did int
	for _, c := range calls {
		check := func(ok bool, what, format string, args ...any) {
			if ok {
				return
			}
			if wrong[what]++; wrong[what] <= 3 { // enough to go by
				t.Errorf("call %d: %s: "+format, append([]any{c.number, what}, args...)...)
			}
		}
		n, last := int(c.attempts.Load()), c.last(max)
		f, outcome := c.step(last), c.outcome()
		by := func(f *fault) bool { return strings.Contains(" "+f.ends+" ", " "+outcome+" ") }
		late := c.deadline == stallTime && // maybe before it got to its stall
			(outcome == "deadline" || n > 0 && n < last && by(c.step(n)))
		check(late || by(f), "outcome", "got %s, %v, want %s after %s", outcome, c.err, f.ends, f.name)
		check(n == last || late && n < last, "attempts", "got %d, want %d, the last one %s", n, last, f.name)

		sum := sha256.New()
		io.WriteString(sum, c.payload)
		want := answer(c.kind, c.header, sum)
		if f.unread {
			want = ""
		}
		check(c.text == want || c.err != nil && strings.HasPrefix(want, c.text), "answer", "got %q, want %q", c.text, want)
		want = ""
		if c.status != 0 && f.marked {
			want = c.header.Get("X-Portkey-Trace-Id")
		}
		check(c.info.TraceID == want, "info", "got trace %q, want %q", c.info.TraceID, want)

		for i := range c.seen {
			f, got := c.step(i+1), c.seen[i].Load()
			if i >= last || f.serve == nil {
				check(got == 0, "arrivals", "got %d of attempt %d, want none", got, i+1)
			} else {
				check(got == 1 || got == 0 && late || got > 1 && f.dropped && c.method == "GET",
					"arrivals", "got %d of attempt %d, want 1: %s", got, i+1, f.name)
			}
		}
		for i := range n {
			met[c.step(i+1).name]++
		}
		ended[outcome]++
		attempts += n
		if f.ends == "200" {
			could++
			if outcome == "200" {
				did++
			}
		}
	}
	for what, n := range wrong {
		t.Errorf("%s: wrong for %d calls", what, n)
	}
	t.Logf("%d attempts; of %d calls that could succeed %d did", attempts, could, did)
	t.Logf("faults met: %v", met)
	t.Logf("outcomes: %v", ended)
}
