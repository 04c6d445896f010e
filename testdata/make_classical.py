"""Writes test cases of domain ai.onnx.ml, of strings, sequences and maps; the expected outputs are those of ONNX Runtime
1.32 on a CPU. Left out is where it departs from the standard: the label of two classes that both have tree weights, a
transform of a single regression target, PROBIT by an approximation, NaN as a key.

usage: make_classical.py FOLDER   (needs onnx, onnxruntime, numpy)
"""
import os, random, shutil, sys
import numpy as np, onnx, onnxruntime as ort
from onnx import helper as h, numpy_helper as nh

R = sys.argv[1]
shutil.rmtree(R, ignore_errors=True)
rng = random.Random(1)
np.random.seed(1)
f32, f64, i64, i32 = np.float32, np.float64, np.int64, np.int32
ET = {np.dtype('float32'): 1, np.dtype('int64'): 7, np.dtype('int32'): 6, np.dtype('float64'): 11, np.dtype('bool'): 9, np.dtype('object'): 8}
S = lambda *l: np.array(l, dtype=object)


def message(x):
    """TensorProto, SequenceProto or MapProto of a value of ONNX Runtime."""
    if isinstance(x, list):
        q = onnx.SequenceProto(elem_type=4 if isinstance(x[0], dict) else 1)
        for e in x:
            (q.map_values if isinstance(e, dict) else q.tensor_values).append(message(e))
        return q
    if isinstance(x, dict):
        m, keys = onnx.MapProto(), list(x)
        if isinstance(keys[0], str):
            m.key_type = 8
            m.string_keys.extend(k.encode() for k in keys)
        else:
            m.key_type = 7
            m.keys.extend(keys)
        m.values.elem_type = 1
        for k in keys:
            m.values.tensor_values.append(nh.from_array(np.array(x[k], dtype=f32)))
        return m
    x = np.asarray(x)
    if x.dtype.kind in 'OU':
        return h.make_tensor('', 8, x.shape, [s.encode() for s in x.flatten()])
    return nh.from_array(x)


def graph(name, nodes, feeds, types=None, outs=None, ml=3, nout=1, init=()):
    ins = [f'i{k}' for k in range(len(feeds))]
    gi = types or [h.make_tensor_value_info(n, ET[x.dtype], list(x.shape)) for n, x in zip(ins, feeds)]
    go = outs or [onnx.ValueInfoProto(name=f'o{k}') for k in range(nout)]
    m = h.make_model(h.make_graph(nodes, 'g', gi, go, init), ir_version=9,
                     opset_imports=[h.make_opsetid('', 20), h.make_opsetid('ai.onnx.ml', ml)])
    so = ort.SessionOptions()
    so.log_severity_level = 4
    try:
        res = ort.InferenceSession(m.SerializeToString(), so, providers=['CPUExecutionProvider']).run(None, dict(zip(ins, feeds)))
    except Exception as e:
        print(name, 'onnxruntime:', str(e)[:150])
        return
    d = f'{R}/{name}/test_data_set_0'
    os.makedirs(d)
    onnx.save(m, f'{R}/{name}/model.onnx')
    for what, l in (('input', feeds), ('output', res)):
        for k, x in enumerate(l):
            open(f'{d}/{what}_{k}.pb', 'wb').write(message(x).SerializeToString())


def case(name, op, feeds, nout=1, dom='ai.onnx.ml', ml=3, types=None, outs=None, **attrs):
    node = h.make_node(op, [f'i{k}' for k in range(len(feeds))], [f'o{k}' for k in range(nout)], domain=dom, **attrs)
    graph(name, [node], feeds, types, outs, ml, nout)


# Trees.
def tree(nf, depth, leaf, modes):
    nodes = []
    def build(d):
        i = len(nodes)
        nodes.append(None)
        if d == 0 or rng.random() < .15:
            nodes[i] = ('LEAF', 0, 0., 0, 0, 0, leaf())
            return i
        f, m, v = rng.randrange(nf), rng.choice(modes), round(rng.uniform(-1, 1), 1)
        yes, no = build(d - 1), build(d - 1)
        nodes[i] = (m, f, v, yes, no, rng.randrange(2), None)
        return i
    build(depth)
    return nodes

def ensemble(prefix, leaf, modes=('BRANCH_LEQ',), nf=5, trees=5, depth=3):
    a = {k: [] for k in ('nodes_treeids', 'nodes_nodeids', 'nodes_modes', 'nodes_featureids', 'nodes_values', 'nodes_truenodeids',
                         'nodes_falsenodeids', 'nodes_missing_value_tracks_true')}
    w = {prefix + k: [] for k in ('_treeids', '_nodeids', '_ids', '_weights')}
    for t in range(trees):
        for i, n in enumerate(tree(nf, depth, leaf, modes)):
            for k, v in zip(a, (t, i, n[0], n[1], n[2], n[3], n[4], n[5])):
                a[k].append(v)
            for target, x in n[6] or []:
                for k, v in zip(w, (t, i, target, x)):
                    w[k].append(v)
    return {**a, **w}

X = np.round(np.random.uniform(-1.2, 1.2, (12, 5)), 1).astype(f32)
X[3, 2] = X[7, 0] = np.nan
every = ('BRANCH_LEQ', 'BRANCH_LT', 'BRANCH_GTE', 'BRANCH_GT', 'BRANCH_EQ', 'BRANCH_NEQ')
for sign, lo, hi in (('pos', .01, .2), ('mixed', -.4, .4)):
    for post in ('NONE', 'LOGISTIC', 'SOFTMAX', 'SOFTMAX_ZERO'):
        u = lambda: round(rng.uniform(lo, hi), 4)
        three = lambda: [(c, u()) for c in range(3)]
        case(f'trees3_{sign}_{post}', 'TreeEnsembleClassifier', [X], 2, classlabels_int64s=[5, 8, 11], post_transform=post, **ensemble('class', three))
        case(f'trees3base_{sign}_{post}', 'TreeEnsembleClassifier', [X], 2, ml=1, classlabels_strings=['a', 'b', 'c'], base_values=[.02, .03, .04],
             post_transform=post, **ensemble('class', three))
        for k in (0, 1):
            case(f'trees2_{k}_{sign}_{post}', 'TreeEnsembleClassifier', [X], 2, classlabels_int64s=[5, 8], post_transform=post,
                 **ensemble('class', lambda: [(k, u())]))
        case(f'trees2base_{sign}_{post}', 'TreeEnsembleClassifier', [X], 2, classlabels_strings=['x', 'y'], base_values=[.03], post_transform=post,
             **ensemble('class', lambda: [(0, u())]))
for how in ('SUM', 'AVERAGE', 'MIN', 'MAX'):
    one = lambda: [(0, round(rng.uniform(-1, 1), 3))]
    case(f'regress1_{how}', 'TreeEnsembleRegressor', [X], n_targets=1, aggregate_function=how, base_values=[.25], **ensemble('target', one, every))
    for post in ('NONE', 'LOGISTIC', 'SOFTMAX'):
        two = lambda: [(t, round(rng.uniform(-1, 1), 3)) for t in range(2)]
        case(f'regress2_{how}_{post}', 'TreeEnsembleRegressor', [X], n_targets=2, aggregate_function=how, post_transform=post, **ensemble('target', two, every))
a = ensemble('target', lambda: [(0, rng.uniform(-1, 1))], every)
for k in ('nodes_values', 'target_weights'):
    a[k + '_as_tensor'] = nh.from_array(np.array(a.pop(k), dtype=f64), k)
case('regress_double', 'TreeEnsembleRegressor', [X.astype(f64)], n_targets=1, base_values_as_tensor=nh.from_array(np.array([.5]), 'b'), **a)

# Numbers.
Y = np.round(np.random.uniform(-2, 2, (6, 4)), 1).astype(f32)
Y[1] = 0
Y[2] = -np.abs(Y[2]) - .1
num = lambda n, lo=-1, hi=1: [round(rng.uniform(lo, hi), 2) for _ in range(n)]
for t in (f32, f64, i64, i32):
    x, tn = (Y * (1 if np.dtype(t).kind == 'f' else 3)).astype(t), np.dtype(t).name
    if t == f32:
        case('binarize', 'Binarizer', [x], threshold=.5)
    case(f'scale_{tn}', 'Scaler', [x], offset=[.5, 1., -1., 0.], scale=[2., .5, 1., 3.])
    case(f'scale1_{tn}', 'Scaler', [x], offset=[.5], scale=[2.])
    for norm in ('MAX', 'L1', 'L2'):
        case(f'norm_{norm}_{tn}', 'Normalizer', [x], norm=norm)
    case(f'norm1_{tn}', 'Normalizer', [x[0]], norm='L2')
    case(f'join_{tn}', 'FeatureVectorizer', [x, x[:, :2]], inputdimensions=[4, 2])
    case(f'pick_{tn}', 'ArrayFeatureExtractor', [x, np.array([[3, 1]], dtype=i64)])
    case(f'pick1_{tn}', 'ArrayFeatureExtractor', [x[0], np.array([2, 0], dtype=i64)])
    if t != i32:
        case(f'onehot_{tn}', 'OneHotEncoder', [x], cats_int64s=[0, 1, -1], zeros=1)
    for post in ('NONE', 'LOGISTIC', 'SOFTMAX', 'SOFTMAX_ZERO'):
        case(f'linear3_{post}_{tn}', 'LinearClassifier', [x], 2, coefficients=num(12), intercepts=num(3), classlabels_ints=[4, 7, 9], post_transform=post)
        case(f'linear2_{post}_{tn}', 'LinearClassifier', [x], 2, coefficients=num(8), intercepts=num(2), classlabels_strings=['a', 'b'], post_transform=post)
nan = Y.copy()
nan[0, 0] = np.nan
case('impute_nan', 'Imputer', [nan], imputed_value_floats=[1., 2., 3., 4.], replaced_value_float=float('nan'))
case('impute_0', 'Imputer', [nan], imputed_value_floats=[9.], replaced_value_float=0.)
case('impute_i', 'Imputer', [(Y * 3).astype(i64)], imputed_value_int64s=[1, 2, 3, 4], replaced_value_int64=0)
case('regress_linear1', 'LinearRegressor', [Y], coefficients=num(4), intercepts=[.5], targets=1)
for post in ('NONE', 'LOGISTIC', 'SOFTMAX', 'SOFTMAX_ZERO'):
    case(f'regress_linear3_{post}', 'LinearRegressor', [Y], coefficients=num(12), intercepts=num(3), targets=3, post_transform=post)
for kernel in ('LINEAR', 'POLY', 'RBF', 'SIGMOID'):
    k = dict(kernel_type=kernel, kernel_params=[.3, .1, 3.])
    for one in (0, 1):
        case(f'svr{one}_{kernel}', 'SVMRegressor', [Y], support_vectors=num(20), n_supports=5, coefficients=num(5), rho=[.2], one_class=one, **k)
    for n in (2, 3, 4):
        for prob in (0, 1):
            for post in ('NONE', 'LOGISTIC', 'SOFTMAX'):
                counts, pairs = [2] * (n - 1) + [3], n * (n - 1) // 2
                v = sum(counts)
                p = dict(prob_a=num(pairs, -2, -.5), prob_b=num(pairs, -.3, .3)) if prob else {}
                case(f'svc{n}_{prob}_{kernel}_{post}', 'SVMClassifier', [Y], 2, classlabels_ints=list(range(n)), support_vectors=num(4 * v), vectors_per_class=counts,
                     coefficients=num((n - 1) * v), rho=num(pairs), post_transform=post, **p, **k)
case('svm_linear', 'SVMClassifier', [Y], 2, kernel_type='LINEAR', kernel_params=[0., 0., 0.], coefficients=num(12), rho=[.25], classlabels_strings=['a', 'b', 'c'])
case('svr_linear', 'SVMRegressor', [Y], kernel_type='LINEAR', kernel_params=[0., 0., 0.], coefficients=num(4), rho=[.3])
case('svr1_zero', 'SVMRegressor', [np.array([[0.], [-0.], [1.], [-1.]], dtype=f32)], kernel_type='LINEAR', kernel_params=[0., 0., 0.], coefficients=[1.], rho=[0.], one_class=1)

# Labels and maps.
case('onehot_strings', 'OneHotEncoder', [S('a', 'b', 'zz', 'c').reshape(2, 2)], cats_strings=['a', 'b', 'c'])
case('pick_strings', 'ArrayFeatureExtractor', [S('a', 'b', 'zz', 'c').reshape(2, 2), np.array([1], dtype=i64)])
case('category_s', 'CategoryMapper', [S('a', 'b', 'q')], cats_strings=['a', 'b'], cats_int64s=[5, 6], default_int64=-3)
case('category_i', 'CategoryMapper', [np.array([5, 6, 7], dtype=i64)], cats_strings=['a', 'b'], cats_int64s=[5, 6], default_string='no')
case('label1_s', 'LabelEncoder', [S('a', 'b', 'q')], ml=1, classes_strings=['a', 'b'], default_int64=-3)
case('label1_i', 'LabelEncoder', [np.array([0, 1, 7], dtype=i64)], ml=1, classes_strings=['a', 'b'], default_string='no')
lists = {'int64s': [1, 2, 3], 'floats': [1.5, 0., 2.5], 'strings': ['x', 'y', 'z']}
given = {'int64s': np.array([[1, 2], [9, 3]], dtype=i64), 'floats': np.array([7, 0., 2.5, -0., 8], dtype=f32), 'strings': S('x', 'q', 'z')}
for ml in (2, 4):
    for k in lists:
        for v in lists:
            case(f'label{ml}_{k}_{v}', 'LabelEncoder', [given[k]], ml=ml, **{'keys_' + k: lists[k], 'values_' + v: lists[v]})
            case(f'label{ml}d_{k}_{v}', 'LabelEncoder', [given[k]], ml=ml, default_int64=77, default_float=.25, default_string='dd', **{'keys_' + k: lists[k], 'values_' + v: lists[v]})
case('label4_tensors', 'LabelEncoder', [np.array([1., 2., 5.])], ml=4, keys_tensor=nh.from_array(np.array([1., 5.])), values_tensor=nh.from_array(np.array([3., 4.])),
     default_tensor=nh.from_array(np.array([-9.])))
maps = lambda n, k: h.make_value_info(n, h.make_map_type_proto(k, h.make_tensor_type_proto(1, [])))
rows = lambda k: [h.make_value_info('o0', h.make_sequence_type_proto(h.make_map_type_proto(k, h.make_tensor_type_proto(1, []))))]
case('zip_i', 'ZipMap', [Y], outs=rows(7), classlabels_int64s=[3, 1, 2, 0])
case('zip_s', 'ZipMap', [Y], outs=rows(8), classlabels_strings=['d', 'c', 'b', 'a'])
case('dict_s', 'DictVectorizer', [{'a': 4., 'c': 8.}], types=[maps('i0', 8)], string_vocabulary=['a', 'c', 'b', 'z'])
case('dict_i', 'DictVectorizer', [{3: 4., 1: 8.}], types=[maps('i0', 7)], int64_vocabulary=[1, 2, 3])
for to in ('TO_FLOAT', 'TO_STRING', 'TO_INT64'):
    case(f'castmap_{to}', 'CastMap', [{3: 4.5, 1: 8.25}], types=[maps('i0', 7)], cast_to=to)
    case(f'castmap_sparse_{to}', 'CastMap', [{3: 4.5, 1: 8.25}], types=[maps('i0', 7)], cast_to=to, map_form='SPARSE', max_map=5)

# Strings.
words = S('a b', 'a', 'x  y z', 'a,b,,c', ',')
case('split', 'StringSplit', [words], 2, dom='')
case('split_comma', 'StringSplit', [words], 2, dom='', delimiter=',')
case('split_max', 'StringSplit', [words], 2, dom='', delimiter=',', maxsplit=2)
case('concat', 'StringConcat', [S('a', 'b').reshape(2, 1), S('x', '', 'zz')], dom='')
case('regex', 'RegexFullMatch', [S('ab', 'aab', 'b', 'abc')], dom='', pattern='a+b|b')
grams = dict(pool_strings=['a', 'b', 'c', 'a', 'b', 'c', 'a'], ngram_counts=[0, 3], ngram_indexes=[4, 1, 0, 2, 3], min_gram_length=1, max_gram_length=2, max_skip_count=1)
for mode in ('TF', 'IDF', 'TFIDF'):
    case(f'tfidf_{mode}', 'TfIdfVectorizer', [S('a', 'b', 'a', 'c', 'a', 'b')], dom='', mode=mode, weights=[1., 2., 3., 4., 5.], **grams)
case('tfidf_2', 'TfIdfVectorizer', [S('a', 'b', 'a', 'c', 'a', 'b')], dom='', mode='TF', **{**grams, 'min_gram_length': 2})
case('tfidf_i', 'TfIdfVectorizer', [np.array([[1, 2, 1], [3, 3, 3]], dtype=i64)], dom='', mode='TFIDF', pool_int64s=[1, 3], ngram_counts=[0], ngram_indexes=[0, 0],
     min_gram_length=1, max_gram_length=1, max_skip_count=0, weights=[.5, .25])
node = h.make_node
idx = lambda n, *l: nh.from_array(np.array(l[0] if len(l) == 1 else l, dtype=i64), n)
graph('strings_move', [node('Transpose', ['i0'], ['t']), node('Reshape', ['t', 'shape'], ['r']), node('Concat', ['r', 'more'], ['c'], axis=0), node('Gather', ['c', 'at'], ['g']),
                       node('Unsqueeze', ['g', 'zero'], ['o0'])], [S('a', 'b', 'c', 'd', 'e', 'f').reshape(2, 3)],
      init=[nh.from_array(np.array([6], dtype=i64), 'shape'), h.make_tensor('more', 8, [2], [b'x', b'y']), nh.from_array(np.array([7, 1, 0], dtype=i64), 'at'),
            nh.from_array(np.array([0], dtype=i64), 'zero')])

# Sequences: a loop that collects slices of growing length, at positions that are data, and joins them.
body = h.make_graph([node('Identity', ['c'], ['more']), node('Add', ['i', 'one'], ['n']), node('Unsqueeze', ['n', 'zero'], ['end']), node('Slice', ['i0', 'zero', 'end'], ['part']),
                     node('SequenceLength', ['s'], ['len']), node('Div', ['len', 'two'], ['at']), node('SequenceInsert', ['s', 'part', 'at'], ['next'])], 'body',
                    [h.make_tensor_value_info('i', 7, []), h.make_tensor_value_info('c', 9, []), h.make_tensor_sequence_value_info('s', 1, None)],
                    [h.make_tensor_value_info('more', 9, []), h.make_tensor_sequence_value_info('next', 1, None)])
loop = [node('SequenceEmpty', [], ['empty'], dtype=1), node('Loop', ['i1', '', 'empty'], ['all'], body=body), node('ConcatFromSequence', ['all'], ['o0'], axis=0),
        node('SequenceAt', ['all', 'i2'], ['o1']), node('SequenceErase', ['all', 'i2'], ['less']), node('SequenceLength', ['less'], ['o2']), node('Identity', ['less'], ['o3'])]
init = [idx('one', 1), nh.from_array(np.array([0], dtype=i64), 'zero'), idx('two', 2)]
outs = [h.make_tensor_value_info('o0', 1, [None]), h.make_tensor_value_info('o1', 1, [None]), h.make_tensor_value_info('o2', 7, []), h.make_tensor_sequence_value_info('o3', 1, [None])]
for at in (2, -1):
    graph(f'sequence_loop_{at}', loop, [np.arange(6).astype(f32), np.array(5, dtype=i64), np.array(at, dtype=i64)], outs=outs, init=init)
