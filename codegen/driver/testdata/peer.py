# Runs ONNX models with onnxruntime for TestRandomGraphsPeer. Each line of standard input is a request:
#   {"model": PATH, "runs": [FOLDER, ...]}   with FOLDER/input_K.npy for every input
# The answer is a line: {"ok": true} once FOLDER/output_K.npy were written, {"refused": TEXT} where the model or a run is refused,
# {"unstable": TEXT} where onnxruntime disagrees with itself once its optimizations are off.
import json
import sys

import numpy as np
import onnxruntime as ort


def session(model, level):
    o = ort.SessionOptions()
    o.intra_op_num_threads = 1
    o.log_severity_level = 4
    o.graph_optimization_level = level
    return ort.InferenceSession(model, o, providers=["CPUExecutionProvider"])


def same(a, b):
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind != "f":
        return np.array_equal(a, b)
    scale = max(1.0, float(np.max(np.abs(b), initial=0, where=np.isfinite(b))))
    return np.allclose(a, b, rtol=0, atol=1e-3 * scale, equal_nan=True)


def answer(request):
    try:
        best = session(request["model"], ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
        plain = session(request["model"], ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
        for folder in request["runs"]:
            feed = {x.name: np.load(f"{folder}/input_{k}.npy") for k, x in enumerate(best.get_inputs())}
            got, again = best.run(None, feed), plain.run(None, feed)
            for k, (a, b) in enumerate(zip(got, again)):
                if not same(a, b):
                    return {"unstable": f"result {k}"}
                np.save(f"{folder}/output_{k}.npy", a)
    except Exception as e:
        return {"refused": str(e)}
    return {"ok": True}


print(json.dumps({"version": ort.__version__}), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
