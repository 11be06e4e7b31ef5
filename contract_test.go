package portkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/portkey-go/portkey"
)

func TestCallersRequestIsNotChanged(t *testing.T) {
	t.Parallel()
	outcomes := map[string]roundTripperFunc{
		"success": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
		},
		"error": func(r *http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		"panic": func(r *http.Request) (*http.Response, error) { panic("base") },
		"base that writes to its request": func(r *http.Request) (*http.Response, error) {
			for key, values := range r.Header {
				values[0] = "changed"
				r.Header[key] = append(values, "more")
			}
			r.URL.Path = "/changed"
			r.Header.Set("New", "x")
			return nil, io.ErrUnexpectedEOF
		},
	}
	for name, base := range outcomes {
		for _, to := range []string{openAIChat, "http://gw.example/v1/x"} {
			tr := newTransport(t, base, portkey.Options{
				BaseURL: "http://gw.example/v1",
				Headers: portkey.Headers{APIKey: "pk", VirtualKey: "vk", Metadata: portkey.Metadata{"a": "1"}},
			})
			req := newRequest(t, portkey.WithTrace(t.Context(), "t1"), "POST", to, "{}")
			req.Header = http.Header{
				"Authorization": {"Bearer sk"}, "x-portkey-metadata": {`{"b":"2"}`},
				"X-Multi": {"1", "2"}, "X-Nil": nil,
			}
			req.Trailer = http.Header{"X-Later": nil}
			before, header, url := *req, req.Header.Clone(), *req.URL
			for range 2 {
				func() {
					defer func() { recover() }()
					tr.RoundTrip(req)
				}()
			}
			if !reflect.DeepEqual(req.Header, header) || *req.URL != url {
				t.Errorf("%s: got %v %v, want %v %v", name, req.URL, req.Header, &url, header)
			}
			after := *req
			after.Header, before.Header = nil, nil
			before.GetBody, after.GetBody = nil, nil // functions cannot be compared
			if !reflect.DeepEqual(before, after) {
				t.Errorf("%s: got %+v, want %+v", name, after, before)
			}
		}
	}
}

func TestCallersURLIsNotChanged(t *testing.T) {
	t.Parallel()
	tr := newTransport(t, roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		r.URL.Path = "/changed"
		return nil, io.EOF
	}), portkey.Options{BaseURL: "http://gw.example/v1"})
	for _, u := range []string{"http://gw.example/v1/x", openAIChat} {
		req := newRequest(t, t.Context(), "GET", u, "")
		tr.RoundTrip(req)
		if got := req.URL.String(); got != u {
			t.Errorf("got %s, want %s", got, u)
		}
	}
}

func TestHeadersThatAreNotPortkeysAreSentAsTheyAre(t *testing.T) {
	t.Parallel()
	want := http.Header{
		"Accept": {"a", "b"}, "x-odd-Spelling": {"1"}, "User-Agent": nil, "Cookie": {"c=1"}, "X-Latin": {"\xe9"},
	}
	var got http.Header
	tr := newTransport(t, roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		got = r.Header
		return nil, io.EOF
	}), portkey.Options{BaseURL: "http://gw.example/v1", NewTraceID: noTrace})
	req := newRequest(t, t.Context(), "GET", "http://gw.example/v1/models", "")
	req.Header = want
	tr.RoundTrip(req)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestNilHeaderIsAnEmptyOne(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	tr := newTransport(t, nil, portkey.Options{BaseURL: s.URL, Headers: portkey.Headers{APIKey: "pk"}})
	req := newRequest(t, t.Context(), "GET", s.URL, "")
	req.Header = nil
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := s.last(t).header.Get("X-Portkey-Api-Key"); got != "pk" {
		t.Errorf("got %q, want pk", got)
	}
}

func TestHeaderValuesOfOneRequestKeepApart(t *testing.T) {
	t.Parallel()
	tr := newTransport(t, roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		for _, values := range r.Header {
			_ = append(values, "more")
		}
		for key, values := range r.Header {
			if len(values) != 1 || values[0] == "more" {
				t.Errorf("%s: got %q after others were appended to", key, values)
			}
		}
		return nil, io.EOF
	}), portkey.Options{BaseURL: "http://gw.example", Headers: portkey.Headers{APIKey: "pk", Provider: "openai", SpanID: "s"}})
	tr.RoundTrip(newRequest(t, t.Context(), "GET", "http://gw.example", ""))
}

func TestNoHeaderValueIsSharedBetweenRequests(t *testing.T) {
	t.Parallel()
	var first http.Header
	tr := newTransport(t, roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		if first == nil {
			first = r.Header
			for _, values := range r.Header {
				values[0] = "changed"
				_ = append(values, "more")
			}
			for key, values := range r.Header {
				if values[0] != "changed" { // by a neighbour's append
					t.Errorf("%s shares its array: %q", key, values)
				}
			}
			return nil, io.EOF
		}
		for key, values := range r.Header {
			for _, v := range values {
				if v == "changed" || v == "more" {
					t.Errorf("%s: the next request has %q", key, values)
				}
			}
		}
		return nil, io.EOF
	}), portkey.Options{BaseURL: "http://gw.example", Headers: portkey.Headers{
		APIKey: "pk", Config: portkey.ConfigSlug("pc-1"), Metadata: portkey.Metadata{"a": "b"}, Extra: map[string]string{"X-E": "e"},
	}})
	ctx := portkey.WithHeaders(portkey.WithTrace(t.Context(), "t1"), portkey.Headers{SpanID: "s"})
	req := newRequest(t, ctx, "GET", openAIChat, "")
	req.Header = http.Header{"Accept": {"a"}, "x-portkey-debug": {"true"}}
	tr.RoundTrip(req)
	tr.RoundTrip(req)
}

func TestTrailersFilledWhileTheBodyIsReadAreSent(t *testing.T) {
	t.Parallel()
	var got string
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) { got = r.Trailer.Get("X-Sum") })
	req := newRequest(t, t.Context(), "POST", openAIChat, "")
	req.Trailer = http.Header{"X-Sum": nil}
	req.ContentLength = -1
	req.Body = io.NopCloser(io.MultiReader(strings.NewReader("{}"), readerFunc(func([]byte) (int, error) {
		req.Trailer.Set("X-Sum", "abc")
		return 0, io.EOF
	})))
	do(t, newClient(t, s, portkey.Options{}), req)
	if got != "abc" {
		t.Errorf("got trailer %q, want abc", got)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestBodyIsClosedExactlyOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	good := portkey.Options{BaseURL: s.URL + "/v1"}
	tests := []struct {
		name string
		url  string
		ctx  func(context.Context) context.Context
		opts portkey.Options
	}{
		{name: "success", url: openAIChat, opts: good},
		{name: "unknown host", url: "https://llm.example.com", opts: good},
		{name: "bad value in the context", url: openAIChat, opts: good, ctx: func(ctx context.Context) context.Context {
			return portkey.WithTrace(ctx, "a\nb")
		}},
		{name: "bad trace ID made", url: openAIChat, opts: portkey.Options{
			BaseURL: s.URL, NewTraceID: func(context.Context) string { return "a\nb" },
		}},
	}
	for _, tt := range tests {
		ctx := t.Context()
		if tt.ctx != nil {
			ctx = tt.ctx(ctx)
		}
		body := newCountingBody()
		req := newRequest(t, ctx, "POST", tt.url, "")
		req.Body, req.ContentLength = body, 2
		resp, err := newTransport(t, nil, tt.opts).RoundTrip(req)
		if err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		if got := body.closed.Load(); got != 1 {
			t.Errorf("%s: body closed %d times, want 1", tt.name, got)
		}
	}
}

func TestTransportNotMadeByNewTransportFails(t *testing.T) {
	t.Parallel()
	body := newCountingBody()
	req := newRequest(t, t.Context(), "POST", openAIChat, "")
	req.Body = body
	if got := fmt.Sprint(new(portkey.Transport)); got != "portkey.Transport{}" {
		t.Errorf("got %q printed, want portkey.Transport{}", got)
	}
	if _, err := new(portkey.Transport).RoundTrip(req); err == nil {
		t.Error("got no error")
	}
	if body.closed.Load() != 1 {
		t.Error("the body was not closed")
	}
}

func TestRequestWithoutAURLFails(t *testing.T) {
	t.Parallel()
	body := newCountingBody()
	tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example"})
	if _, err := tr.RoundTrip(&http.Request{Method: "POST", Body: body}); err == nil {
		t.Error("got no error")
	}
	if body.closed.Load() != 1 {
		t.Error("the body was not closed")
	}
}

func TestResponseAndErrorAreHandedBackAsTheyCame(t *testing.T) {
	t.Parallel()
	wantResp := &http.Response{StatusCode: 418, Body: http.NoBody}
	for _, want := range []error{nil, io.ErrUnexpectedEOF, http.ErrSchemeMismatch} {
		tr := newTransport(t, roundTripperFunc(func(*http.Request) (*http.Response, error) {
			if want != nil {
				return nil, want
			}
			return wantResp, nil
		}), portkey.Options{BaseURL: "http://gw.example"})
		resp, err := tr.RoundTrip(newRequest(t, t.Context(), "GET", "http://gw.example", ""))
		if err != want || want == nil && resp != wantResp {
			t.Errorf("got %v, %v, want %v, %v", resp, err, wantResp, want)
		}
	}
}

func TestStreamArrivesBeforeItEnds(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "data: first\n\n")
		w.(http.Flusher).Flush()
		<-goOn
		io.WriteString(w, "data: last\n\n")
	})
	resp, err := newClient(t, s, portkey.Options{}).Do(newRequest(t, t.Context(), "POST", openAIChat, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, len("data: first\n\n"))
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	rest, err := io.ReadAll(resp.Body)
	if got, want := string(first)+string(rest), "data: first\n\ndata: last\n\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestProtocolSwitchKeepsAWritableBody(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		line, _ := rw.ReadString('\n')
		io.WriteString(conn, "echo "+line)
	})
	req := newRequest(t, t.Context(), "GET", "https://api.openai.com/v1/realtime?model=m", "")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := newClient(t, s, portkey.Options{}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	rw, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("got body %T, want an io.ReadWriteCloser", resp.Body)
	}
	io.WriteString(rw, "hello\n")
	if got, _ := io.ReadAll(rw); string(got) != "echo hello\n" {
		t.Errorf("got %q, want %q", got, "echo hello\n")
	}
}

func TestStackedTransportsSendOneValue(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	inner := portkey.Options{BaseURL: s.URL + "/v1", Headers: portkey.Headers{APIKey: "inner", Metadata: portkey.Metadata{"a": "inner", "b": "inner"}}}
	outer := portkey.Options{BaseURL: s.URL + "/v1", Headers: portkey.Headers{APIKey: "outer", Metadata: portkey.Metadata{"a": "outer"}}}
	c := &http.Client{Transport: newTransport(t, newTransport(t, nil, inner), outer)}
	do(t, c, newRequest(t, portkey.WithTrace(t.Context(), "t1"), "GET", openAIChat, ""))
	want := http.Header{
		"X-Portkey-Api-Key": {"outer"}, "X-Portkey-Trace-Id": {"t1"}, "X-Portkey-Provider": {"openai"},
		"X-Portkey-Metadata": {`{"a":"outer","b":"inner"}`},
	}
	if got := s.last(t).portkeyHeaders(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestConcurrentCallsKeepApart(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Portkey-Trace-Id", r.Header.Get("X-Portkey-Trace-Id"))
		io.WriteString(w, r.Header.Get("X-Portkey-Metadata"))
	})
	c := newClient(t, s, portkey.Options{Headers: portkey.Headers{APIKey: "pk", Metadata: portkey.Metadata{"all": "x"}}})
	shared := portkey.WithMetadata(t.Context(), portkey.Metadata{"shared": "y"})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			id := string(rune('a'+i%26)) + strings.Repeat("x", i)
			var info portkey.ResponseInfo
			ctx := portkey.WithResponseInfo(portkey.WithTrace(shared, id), &info)
			ctx = portkey.WithMetadata(ctx, portkey.Metadata{"id": id})
			req, _ := http.NewRequestWithContext(ctx, "POST", openAIChat, bytes.NewReader([]byte("{}")))
			resp, err := c.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if want := `{"all":"x","id":"` + id + `","shared":"y"}`; string(body) != want || info.TraceID != id {
				t.Errorf("got %s and trace %s, want %s", body, info.TraceID, want)
			}
		}()
	}
	wg.Wait()
}

func TestDefaultTransportIsLookedUpAtEachRequest(t *testing.T) {
	// Not parallel: it replaces http.DefaultTransport.
	tr := newTransport(t, nil, portkey.Options{BaseURL: "http://gw.example"})
	defer func(old http.RoundTripper) { http.DefaultTransport = old }(http.DefaultTransport)
	closer := &idleCloser{}
	http.DefaultTransport = closer
	if _, err := tr.RoundTrip(newRequest(t, t.Context(), "GET", "http://gw.example", "")); err != errIdleCloser {
		t.Errorf("got %v, want the replaced transport's error", err)
	}
	(&http.Client{Transport: tr}).CloseIdleConnections()
	if closer.closed != 1 {
		t.Errorf("got %d calls of CloseIdleConnections, want 1", closer.closed)
	}
}

var errIdleCloser = errors.New("idleCloser")

type idleCloser struct{ closed int }

func (*idleCloser) RoundTrip(*http.Request) (*http.Response, error) { return nil, errIdleCloser }
func (c *idleCloser) CloseIdleConnections()                         { c.closed++ }

func TestCloseIdleConnectionsReachesTheBase(t *testing.T) {
	t.Parallel()
	base := &idleCloser{}
	opts := portkey.Options{BaseURL: "http://gw.example"}
	c := &http.Client{Transport: newTransport(t, newTransport(t, base, opts), opts)}
	c.CloseIdleConnections()
	if base.closed != 1 {
		t.Errorf("got %d calls, want 1", base.closed)
	}
	(&http.Client{Transport: newTransport(t, roundTripperFunc(nil), opts)}).CloseIdleConnections() // a base without the method
}
