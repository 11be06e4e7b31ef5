package portkey_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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
		for _, to := range []string{openAIChat, "http://gw.example/v1/x", "https://refused.example/v1/x"} {
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

// Whatever a request has beside URL, Host and Header, the base gets as it is:
// the very body, so that http.NoBody and io.WriterTo are still seen.
func TestRequestReachesTheBaseAsItWas(t *testing.T) {
	t.Parallel()
	type key struct{}
	ctx := portkey.WithTrace(context.WithValue(t.Context(), key{}, "v"), "t1")
	for _, to := range []string{openAIChat, "http://gw.example/v1/x"} {
		req := newRequest(t, ctx, "PATCH", to, "{}")
		req.ContentLength, req.TransferEncoding, req.Close = 2, []string{"identity"}, true
		req.Trailer, req.Form, req.PostForm = http.Header{"X-Later": nil}, url.Values{"a": {"1"}}, url.Values{"a": {"1"}}
		req.MultipartForm, req.TLS, req.Pattern = &multipart.Form{}, &tls.ConnectionState{}, "/"
		req.Cancel = make(chan struct{}) //lint:ignore SA1019 http.Client sets it, for any transport that it does not know
		var got *http.Request
		tr := newTransport(t, roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			got = r
			return nil, io.EOF
		}), portkey.Options{BaseURL: "http://gw.example/v1", Headers: portkey.Headers{APIKey: "pk"}})
		tr.RoundTrip(req)
		fields := reflect.TypeFor[http.Request]()
		for i := range fields.NumField() {
			f := fields.Field(i)
			if !f.IsExported() || slices.Contains([]string{"URL", "Host", "Header", "RemoteAddr", "RequestURI", "Response"}, f.Name) {
				continue
			}
			sent, own := reflect.ValueOf(got).Elem().Field(i), reflect.ValueOf(req).Elem().Field(i)
			if own.IsZero() {
				t.Fatalf("%s is not tested", f.Name)
			}
			same := reflect.DeepEqual(sent.Interface(), own.Interface())
			switch f.Type.Kind() {
			case reflect.Func, reflect.Map: // the trailer is filled in later
				same = sent.Pointer() == own.Pointer()
			}
			if !same {
				t.Errorf("%s: got %s %v, want %v", to, f.Name, sent, own)
			}
		}
		if got.Context() != ctx {
			t.Errorf("%s: got context %v, want the caller's", to, got.Context())
		}
	}
}

func TestNilHeaderIsAnEmptyOne(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	tr := newTransport(t, nil, portkey.Options{BaseURL: s.URL, Headers: portkey.Headers{APIKey: "pk"}})
	req := newRequest(t, t.Context(), "GET", s.URL, "")
	req.Header = nil
	defer func() {
		if fault := recover(); fault != nil {
			t.Errorf("RoundTrip panics: %v", fault)
		}
	}()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if req.Header != nil {
		t.Errorf("the caller's header is now %v", req.Header)
	}
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

// A slice that the caller has room behind is written to by an append that does
// not know whose it is.
func TestRoomBehindACallersHeaderValuesIsNotWrittenTo(t *testing.T) {
	t.Parallel()
	tr := newTransport(t, roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		for key, values := range r.Header {
			r.Header[key] = append(values, "more")
		}
		return nil, io.EOF
	}), portkey.Options{BaseURL: "http://gw.example", Headers: portkey.Headers{Metadata: portkey.Metadata{"a": "1"}}})
	for _, key := range []string{"Accept", "x-odd", "Authorization", "X-Portkey-Metadata", "x-portkey-SPAN-id", "X-Portkey-Forward-Headers"} {
		array := [4]string{`{"b":"2"}`}
		if key == "X-Portkey-Forward-Headers" {
			array[0] = "X-A"
		}
		want := array
		req := newRequest(t, t.Context(), "GET", "http://gw.example", "")
		req.Header = http.Header{key: array[:1]}
		tr.RoundTrip(req)
		if array != want {
			t.Errorf("%s: got %q, want %q", key, array, want)
		}
	}
}

// Request.WithContext, and many a client, let requests share one header.
func TestRequestsThatShareAHeaderKeepApart(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header["X-Portkey-Trace-Id"], r.Header["X-Portkey-Metadata"], r.Header["X-Portkey-Span-Id"])
	})
	c := newClient(t, s, portkey.Options{})
	shared := newRequest(t, t.Context(), "GET", s.URL+"/v1/x", "")
	shared.Header.Set("X-Shared", "1")
	check := func(i int) {
		id := fmt.Sprintf("<call-%d>", i)
		ctx := portkey.WithTrace(portkey.WithMetadata(t.Context(), portkey.Metadata{"id": id}), id)
		resp, err := c.Do(shared.WithContext(portkey.WithHeaders(ctx, portkey.Headers{SpanID: id})))
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		got, _ := io.ReadAll(resp.Body)
		if own, all := strings.Count(string(got), id), strings.Count(string(got), "<call-"); own == 0 || own != all {
			t.Errorf("%s: got %s, want nothing of another call", id, got)
		}
	}
	check(1)
	check(2)
	if t.Failed() {
		return
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			check(i)
		}()
	}
	wg.Wait()
	if want := (http.Header{"X-Shared": {"1"}}); !reflect.DeepEqual(shared.Header, want) {
		t.Errorf("got %v, want %v", shared.Header, want)
	}
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
	away := &http.Response{Request: newRequest(t, t.Context(), "POST", s.URL, "")}
	tests := []struct {
		name     string
		url      string
		ctx      func(context.Context) context.Context
		opts     portkey.Options
		header   http.Header
		response *http.Response
	}{
		{name: "success", url: openAIChat, opts: good},
		{name: "unknown host", url: "https://llm.example.com", opts: good},
		{name: "bad value in the context", url: openAIChat, opts: good, ctx: func(ctx context.Context) context.Context {
			return portkey.WithTrace(ctx, "a\nb")
		}},
		{name: "bad trace ID made", url: openAIChat, opts: portkey.Options{
			BaseURL: s.URL, NewTraceID: func(context.Context) string { return "a\nb" },
		}},
		{name: "success at the gateway", url: s.URL + "/v1/x", opts: good},
		{name: "success past the gateway", url: s.URL + "/x", opts: portkey.Options{
			BaseURL: "http://gw.example", Filter: func(*http.Request) bool { return false },
		}},
		{name: "error of the base", url: openAIChat, opts: portkey.Options{BaseURL: "http://127.0.0.1:1/v1"}},
		{name: "bad metadata in the context", url: openAIChat, opts: good, ctx: func(ctx context.Context) context.Context {
			return portkey.WithMetadata(ctx, portkey.Metadata{"k": strings.Repeat("x", 129)})
		}},
		{name: "bad header in the context", url: openAIChat, opts: good, ctx: func(ctx context.Context) context.Context {
			return portkey.WithHeaders(ctx, portkey.Headers{SpanID: "a\nb"})
		}},
		{name: "bad header on the request", url: openAIChat, opts: good, header: http.Header{"X-Portkey-Trace-Id": {"a", "b"}}},
		{name: "header too large", url: openAIChat, opts: good, header: http.Header{"X-Portkey-Config": {`{"a":"` + strings.Repeat("x", 20000) + `"}`}}},
		{name: "redirect away from the gateway", url: "http://elsewhere.example", opts: good, response: away},
	}
	for _, tt := range tests {
		ctx := t.Context()
		if tt.ctx != nil {
			ctx = tt.ctx(ctx)
		}
		body := newCountingBody()
		req := newRequest(t, ctx, "POST", tt.url, "")
		req.Body, req.ContentLength, req.Response = body, 2, tt.response
		maps.Copy(req.Header, tt.header)
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

func TestExpectContinueIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusOK, http.StatusExpectationFailed} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if status == http.StatusOK {
				io.Copy(w, r.Body) // which has the server say "100 Continue"
			} else {
				w.WriteHeader(status)
			}
		}))
		t.Cleanup(s.Close)
		base := &http.Transport{ExpectContinueTimeout: time.Hour}
		t.Cleanup(base.CloseIdleConnections)
		read, closed := false, make(chan struct{}, 9)
		req := newRequest(t, t.Context(), "POST", openAIChat, "")
		req.ContentLength = 2
		req.Header.Set("Expect", "100-continue")
		req.Body = struct {
			io.Reader
			io.Closer
		}{
			io.MultiReader(readerFunc(func([]byte) (int, error) { read = true; return 0, io.EOF }), strings.NewReader("{}")),
			closerFunc(func() error { closed <- struct{}{}; return nil }),
		}
		resp, got := do(t, &http.Client{Transport: newTransport(t, base, portkey.Options{BaseURL: s.URL + "/v1"})}, req)
		<-closed
		want := map[int]string{http.StatusOK: "{}"}[status]
		if resp.StatusCode != status || got != want || read != (want != "") {
			t.Errorf("got %d %q, the body read: %v, want %d %q", resp.StatusCode, got, read, status, want)
		}
		if len(closed) > 0 {
			t.Errorf("%d: the body was closed again", status)
		}
	}
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

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

// Redirects, credentials and trying again are the client's affair.
func TestEachStatusIsOneCallAndNoError(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 204, 301, 302, 304, 307, 308, 400, 401, 403, 404, 407, 408, 429, 500, 501, 502, 503, 504, 529} {
		header := http.Header{"Location": {"/v1/further"}, "Retry-After": {"0"}, "Www-Authenticate": {"Basic"}, "X-Portkey-Trace-Id": {"t1"}}
		calls := 0
		c := &http.Client{
			Transport: newTransport(t, roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				calls++
				return &http.Response{StatusCode: status, Header: header.Clone(), Body: io.NopCloser(strings.NewReader("body")), Request: r}, nil
			}), portkey.Options{BaseURL: "http://gw.example"}),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		resp, body := do(t, c, newRequest(t, t.Context(), "POST", "http://gw.example", "{}"))
		if calls != 1 || resp.StatusCode != status || body != "body" || !reflect.DeepEqual(resp.Header, header) {
			t.Errorf("%d: got %d %v %q after %d calls, want it as it came, after 1", status, resp.StatusCode, resp.Header, body, calls)
		}
	}
}

func TestResponseNamesTheRequestThatWasSent(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	resp, _ := do(t, newClient(t, s, portkey.Options{Headers: portkey.Headers{APIKey: "pk"}}), newRequest(t, t.Context(), "GET", openAIChat, ""))
	if got, want := resp.Request.URL.String(), s.URL+"/v1/chat/completions"; got != want || resp.Request.Header.Get("X-Portkey-Api-Key") != "pk" {
		t.Errorf("got %s %v, want %s with the headers", got, resp.Request.Header, want)
	}
}

// net/http and its users find out what an error of the base is by its type and
// identity; http.Client does so without errors.As.
func TestErrorsOfTheBaseSurviveTheClient(t *testing.T) {
	t.Parallel()
	plain := newServer(t, nil)
	secure := newTLSServer(t, nil)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name, gateway string
		ctx           context.Context
		is            func(error) bool
	}{
		{"http.ErrSchemeMismatch", strings.Replace(plain.URL, "http:", "https:", 1), t.Context(), func(err error) bool { return errors.Is(err, http.ErrSchemeMismatch) }},
		{"a tls.CertificateVerificationError", secure.URL, t.Context(), func(err error) bool { return errors.As(err, new(*tls.CertificateVerificationError)) }},
		{"a net.OpError", "http://127.0.0.1:1", t.Context(), func(err error) bool { return errors.As(err, new(*net.OpError)) }},
		{"context.Canceled", plain.URL, cancelled, func(err error) bool { return errors.Is(err, context.Canceled) }},
	} {
		c := &http.Client{Transport: newTransport(t, nil, portkey.Options{BaseURL: tt.gateway})}
		if _, err := c.Do(newRequest(t, tt.ctx, "POST", openAIChat, "{}")); !tt.is(err) {
			t.Errorf("got %v, want %s", err, tt.name)
		}
	}
}

func TestTimeoutsOfTheClientAndTheContextAreTimeouts(t *testing.T) {
	t.Parallel()
	for _, begun := range []bool{false, true} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			if begun {
				io.WriteString(w, "data: first\n\n")
				w.(http.Flusher).Flush()
			}
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Second): // the test has failed
			}
		})
		for _, by := range []string{"http.Client.Timeout", "deadline", "Request.Cancel"} {
			c := newClient(t, s, portkey.Options{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			switch by {
			case "http.Client.Timeout":
				c.Timeout = 200 * time.Millisecond
			case "deadline":
				ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
				defer cancel()
			}
			req := newRequest(t, ctx, "POST", openAIChat, "{}")
			if by == "Request.Cancel" {
				stop := make(chan struct{})
				req.Cancel = stop //lint:ignore SA1019 http.Client sets it, for any transport that it does not know
				time.AfterFunc(200*time.Millisecond, func() { close(stop) })
			}
			resp, err := c.Do(req)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			var timeout net.Error
			if err == nil || by != "Request.Cancel" && (!errors.As(err, &timeout) || !timeout.Timeout()) {
				t.Errorf("%s, the answer begun: %v: got %v, want a timeout", by, begun, err)
			}
			if by == "deadline" && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s, the answer begun: %v: got %v, want %v", by, begun, err, context.DeadlineExceeded)
			}
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

func TestHTTP2(t *testing.T) {
	t.Parallel()
	plain := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto+"\n")
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Sum", "abc")
	})
	s := httptest.NewUnstartedServer(plain.Config.Handler)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	tr := newTransport(t, s.Client().Transport, portkey.Options{BaseURL: s.URL + "/v1", NewTraceID: noTrace, Headers: portkey.Headers{APIKey: "pk", Metadata: portkey.Metadata{"a": "é"}}})
	req := newRequest(t, t.Context(), "POST", openAIChat, "{}")
	req.Header["x-PORTKEY-api-key"] = []string{"own"}
	req.Header["Connection"] = []string{"keep-alive"} // HTTP/2 has none, and net/http leaves it out
	resp, body := do(t, &http.Client{Transport: tr}, req)
	if resp.ProtoMajor != 2 || body != "HTTP/2.0\n" || resp.Trailer.Get("X-Sum") != "abc" {
		t.Errorf("got %s %q with trailer %v, want HTTP/2.0 both ways and its trailer", resp.Proto, body, resp.Trailer)
	}
	got := plain.last(t)
	want := http.Header{"X-Portkey-Api-Key": {"own"}, "X-Portkey-Provider": {"openai"}, "X-Portkey-Metadata": {`{"a":"\u00e9"}`}}
	if h := got.portkeyHeaders(); !reflect.DeepEqual(h, want) || got.body != "{}" {
		t.Errorf("got %v and %q, want %v and the body", h, got.body, want)
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
