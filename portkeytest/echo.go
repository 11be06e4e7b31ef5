package portkeytest

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
)

// createdAt is the creation time of every object in a response, in Unix seconds.
const createdAt = 1700000000

type object = map[string]any

// echo serves the default responses, in the formats of OpenAI and Anthropic.
var echo = newEcho()

func newEcho() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /chat/completions", serveModel(chatCompletion))
	mux.HandleFunc("POST /completions", serveModel(completion))
	mux.HandleFunc("POST /responses", serveModel(response))
	mux.HandleFunc("POST /messages", serveModel(message))
	mux.HandleFunc("POST /messages/count_tokens", serveModel(tokenCount))
	mux.HandleFunc("POST /embeddings", serveModel(embeddings))
	mux.HandleFunc("POST /images/generations", serveModel(images))

	mux.HandleFunc("GET /models", func(w http.ResponseWriter, r *http.Request) {
		if isCatalogRequest(r.Header) {
			writeJSON(w, http.StatusOK, catalog(cmp.Or(r.Header.Get("X-Portkey-Provider"), "@portkeytest")))
			return
		}
		models := []any{model("gpt-4o-mini"), model("text-embedding-3-small")}
		writeJSON(w, http.StatusOK, object{"object": "list", "data": models})
	})
	mux.HandleFunc("GET /models/{id...}", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, model(r.PathValue("id")))
	})

	mux.HandleFunc("POST /files", uploadFile)
	mux.HandleFunc("GET /files", func(w http.ResponseWriter, r *http.Request) {
		files := []any{file("file-portkeytest")}
		writeJSON(w, http.StatusOK, object{"object": "list", "data": files, "has_more": false})
	})
	mux.HandleFunc("GET /files/{id}", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, file(r.PathValue("id")))
	})
	mux.HandleFunc("GET /files/{id}/content", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		io.WriteString(w, "{}\n")
	})
	mux.HandleFunc("DELETE /files/{id}", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, object{"id": r.PathValue("id"), "object": "file", "deleted": true})
	})

	addPortkeyAPI(mux)

	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, fmt.Sprintf("Invalid URL (%s /v1%s)", r.Method, r.URL.Path))
	})
	return mux
}

// A modelFunc returns the response to a request's parameters: a JSON body, and the events that are sent instead if the
// request asks for a stream. An endpoint that cannot stream returns no events.
type modelFunc func(params object) (body object, events []event)

// An event is a server-sent event. A string is sent as it is, any other data as JSON.
type event struct {
	name string // "" omits the name
	data any
}

func serveModel(f modelFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var value any
		if json.NewDecoder(r.Body).Decode(&value) != nil {
			writeError(w, http.StatusBadRequest, "We could not parse the JSON body of your request.")
			return
		}
		params, ok := value.(object)
		if !ok {
			params = object{}
		}
		if params["model"] == nil {
			params["model"] = "portkeytest"
		}
		body, events := f(params)
		if stream, _ := params["stream"].(bool); stream && events != nil {
			writeEvents(w, events)
			return
		}
		writeJSON(w, http.StatusOK, body)
	}
}

func chatCompletion(params object) (object, []event) {
	text := reply(params["messages"])
	usage := completionUsage(params["messages"], text)
	newObject := func(objectType string, choices []any) object {
		return object{"id": "chatcmpl-portkeytest", "object": objectType, "created": createdAt,
			"model": params["model"], "choices": choices}
	}
	newChunk := func(delta object, finishReason any) event {
		choice := object{"index": 0, "delta": delta, "logprobs": nil, "finish_reason": finishReason}
		return event{"", newObject("chat.completion.chunk", []any{choice})}
	}

	body := newObject("chat.completion", []any{object{"index": 0, "finish_reason": "stop", "logprobs": nil,
		"message": object{"role": "assistant", "content": text, "refusal": nil}}})
	body["usage"] = usage

	events := []event{newChunk(object{"role": "assistant", "content": ""}, nil)}
	for _, word := range splitWords(text) {
		events = append(events, newChunk(object{"content": word}, nil))
	}
	events = append(events, newChunk(object{}, "stop"))
	if options, _ := params["stream_options"].(object); options["include_usage"] == true {
		usageChunk := newObject("chat.completion.chunk", []any{})
		usageChunk["usage"] = usage
		events = append(events, event{"", usageChunk})
	}
	events = append(events, event{"", "[DONE]"})
	return body, events
}

func completion(params object) (object, []event) {
	text := reply(params["prompt"])
	newObject := func(text string, finishReason any) object {
		choice := object{"index": 0, "text": text, "logprobs": nil, "finish_reason": finishReason}
		return object{"id": "cmpl-portkeytest", "object": "text_completion", "created": createdAt,
			"model": params["model"], "choices": []any{choice}}
	}
	body := newObject(text, "stop")
	body["usage"] = completionUsage(params["prompt"], text)

	var events []event
	for _, word := range splitWords(text) {
		events = append(events, event{"", newObject(word, nil)})
	}
	events = append(events, event{"", newObject("", "stop")}, event{"", "[DONE]"})
	return body, events
}

func completionUsage(prompt any, text string) object {
	promptTokens, completionTokens := countTokens(promptText(prompt)), countTokens(text)
	return object{"prompt_tokens": promptTokens, "completion_tokens": completionTokens,
		"total_tokens": promptTokens + completionTokens}
}

// response implements OpenAI's Responses API.
func response(params object) (object, []event) {
	text := reply(params["input"])
	newPart := func(text string) object {
		return object{"type": "output_text", "text": text, "annotations": []any{}}
	}
	newItem := func(status string, content []any) object {
		return object{"id": "msg_portkeytest", "type": "message", "role": "assistant", "status": status,
			"content": content}
	}
	newObject := func(status string, output []any) object {
		return object{"id": "resp_portkeytest", "object": "response", "created_at": createdAt, "status": status,
			"model": params["model"], "output": output, "usage": nil, "error": nil, "incomplete_details": nil,
			"instructions": nil, "max_output_tokens": nil, "metadata": object{}, "parallel_tool_calls": true,
			"previous_response_id": nil, "temperature": 1, "text": object{"format": object{"type": "text"}},
			"tool_choice": "auto", "tools": []any{}, "top_p": 1, "truncation": "disabled"}
	}
	part := newPart(text)
	item := newItem("completed", []any{part})
	body := newObject("completed", []any{item})
	inputTokens, outputTokens := countTokens(promptText(params["input"])), countTokens(text)
	body["usage"] = object{"input_tokens": inputTokens, "input_tokens_details": object{"cached_tokens": 0},
		"output_tokens": outputTokens, "output_tokens_details": object{"reasoning_tokens": 0},
		"total_tokens": inputTokens + outputTokens}

	var events []event
	addEvent := func(name string, data object) {
		data["type"], data["sequence_number"] = name, len(events)
		events = append(events, event{name, data})
	}
	addPartEvent := func(name, key string, value any) {
		addEvent(name, object{"item_id": "msg_portkeytest", "output_index": 0, "content_index": 0, key: value})
	}
	addEvent("response.created", object{"response": newObject("in_progress", []any{})})
	addEvent("response.in_progress", object{"response": newObject("in_progress", []any{})})
	addEvent("response.output_item.added", object{"output_index": 0, "item": newItem("in_progress", []any{})})
	addPartEvent("response.content_part.added", "part", newPart(""))
	for _, word := range splitWords(text) {
		addPartEvent("response.output_text.delta", "delta", word)
	}
	addPartEvent("response.output_text.done", "text", text)
	addPartEvent("response.content_part.done", "part", part)
	addEvent("response.output_item.done", object{"output_index": 0, "item": item})
	addEvent("response.completed", object{"response": body})
	return body, events
}

// message implements Anthropic's Messages API.
func message(params object) (object, []event) {
	text := reply(params["messages"])
	newMessage := func(content []any, stopReason any, outputTokens int) object {
		usage := object{"input_tokens": countTokens(promptText(params["messages"])), "output_tokens": outputTokens}
		return object{"id": "msg_portkeytest", "type": "message", "role": "assistant", "model": params["model"],
			"content": content, "stop_reason": stopReason, "stop_sequence": nil, "usage": usage}
	}
	body := newMessage([]any{object{"type": "text", "text": text}}, "end_turn", countTokens(text))

	var events []event
	addEvent := func(name string, data object) {
		data["type"] = name
		events = append(events, event{name, data})
	}
	addEvent("message_start", object{"message": newMessage([]any{}, nil, 1)})
	addEvent("content_block_start", object{"index": 0, "content_block": object{"type": "text", "text": ""}})
	addEvent("ping", object{})
	for _, word := range splitWords(text) {
		addEvent("content_block_delta", object{"index": 0, "delta": object{"type": "text_delta", "text": word}})
	}
	addEvent("content_block_stop", object{"index": 0})
	addEvent("message_delta", object{"delta": object{"stop_reason": "end_turn", "stop_sequence": nil},
		"usage": object{"output_tokens": countTokens(text)}})
	addEvent("message_stop", object{})
	return body, events
}

func tokenCount(params object) (object, []event) {
	return object{"input_tokens": countTokens(promptText(params["messages"]))}, nil
}

// embeddings returns a vector for each input. Equal inputs have equal vectors.
func embeddings(params object) (object, []event) {
	dimensions := 8
	if d, ok := params["dimensions"].(float64); ok && d >= 1 && d <= 4096 {
		dimensions = int(d)
	}
	data, usedTokens := []any{}, 0
	for i, input := range embeddingInputs(params["input"]) {
		text := fmt.Sprint(input)
		usedTokens += countTokens(text)
		vector := make([]float32, dimensions)
		for j := range vector {
			vector[j] = float32(math.Sin(float64(len(text)*(j+1)))) / float32(math.Sqrt(float64(dimensions)))
		}
		var embedding any = vector
		if params["encoding_format"] == "base64" {
			var b bytes.Buffer
			binary.Write(&b, binary.LittleEndian, vector)
			embedding = base64.StdEncoding.EncodeToString(b.Bytes())
		}
		data = append(data, object{"object": "embedding", "index": i, "embedding": embedding})
	}
	return object{"object": "list", "model": params["model"], "data": data,
		"usage": object{"prompt_tokens": usedTokens, "total_tokens": usedTokens}}, nil
}

// embeddingInputs returns the inputs of an embeddings request. A string and a list of numbers, which are tokens, are a
// single input.
func embeddingInputs(input any) []any {
	list, ok := input.([]any)
	if !ok {
		return []any{input}
	}
	if len(list) > 0 {
		if _, isToken := list[0].(float64); isToken {
			return []any{input}
		}
	}
	return list
}

func images(params object) (object, []event) {
	image := object{"url": "https://images.example.com/portkeytest.gif"}
	if params["response_format"] == "b64_json" {
		const onePixelGIF = "R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs="
		image = object{"b64_json": onePixelGIF}
	}
	return object{"created": createdAt, "data": []any{image}}, nil
}

func model(id string) object {
	return object{"id": id, "object": "model", "created": createdAt, "owned_by": "portkeytest"}
}

func file(id string) object {
	return object{"id": id, "object": "file", "bytes": 3, "created_at": createdAt, "filename": "portkeytest.jsonl",
		"purpose": "batch", "status": "processed", "status_details": nil}
}

func uploadFile(w http.ResponseWriter, r *http.Request) {
	content, header, err := r.FormFile("file")
	if err != nil {
		writeError(w, http.StatusBadRequest, "'file' is a required property")
		return
	}
	content.Close()
	uploaded := file("file-portkeytest")
	uploaded["bytes"], uploaded["filename"], uploaded["purpose"] = header.Size, header.Filename, r.FormValue("purpose")
	writeJSON(w, http.StatusOK, uploaded)
}

// reply returns the model's reply to a prompt: "You said: " and the text of the last message.
func reply(prompt any) string {
	if messages, ok := prompt.([]any); ok && len(messages) > 0 {
		prompt = messages[len(messages)-1]
	}
	text := promptText(prompt)
	if text == "" {
		text = "nothing"
	}
	return "You said: " + text
}

// promptText returns the text in a prompt, which is a string, a message, a content part or a list of these.
func promptText(prompt any) string {
	switch v := prompt.(type) {
	case string:
		return v
	case []any:
		var texts []string
		for _, element := range v {
			if text := promptText(element); text != "" {
				texts = append(texts, text)
			}
		}
		return strings.Join(texts, " ")
	case object:
		return promptText(v["content"]) + promptText(v["text"])
	}
	return ""
}

// splitWords splits text after each space.
func splitWords(text string) []string { return strings.SplitAfter(text, " ") }

// countTokens counts each word as one token.
func countTokens(text string) int { return len(strings.Fields(text)) }

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, toJSON(body))
}

func writeError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, newOpenAIError(status, message))
}

func writeEvents(w http.ResponseWriter, events []event) {
	w.Header().Set("Content-Type", "text/event-stream")
	controller := http.NewResponseController(w)
	for _, e := range events {
		if e.name != "" {
			io.WriteString(w, "event: "+e.name+"\n")
		}
		data, isString := e.data.(string)
		if !isString {
			data = toJSON(e.data)
		}
		io.WriteString(w, "data: "+data+"\n\n")
		controller.Flush()
	}
}
